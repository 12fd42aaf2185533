//! temporary
#![allow(warnings)]
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::time::Instant;
use sunstar::http::{h1::Connection, *};
use sunstar::mem::*;
fn bench(name: &str, mut f: impl FnMut()) {
    let n = 2_000;
    let mut best = f64::MAX;
    for _ in 0..800 {
        let t = Instant::now();
        for _ in 0..n {
            f()
        }
        best = best.min(t.elapsed().as_nanos() as f64 / n as f64);
    }
    println!("{name:40} {best:.1} ns");
}
fn main() {
    let reqs: [(&str,&'static [u8]);3]=[("plain",b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"),
 ("curl",b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"),
 ("browser",b"GET /plaintext?a=b HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\nsec-ch-ua: \"Chromium\";v=\"124\", \"Google Chrome\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n")];
    let standing = b"Server: sunstar\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\n";
    println!(
        "sizes head {} event {} conn {}",
        size_of::<Head>(),
        size_of::<Event>(),
        size_of::<Connection>()
    );
    if let Some(mode)=std::env::args().nth(1) { let r=reqs[0].1; let pool=Pool::new(); let now=Instant::now(); let block=pool.copy(r);
  let mut fields=Fields::new(); fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
  let mut c=Connection::new(pool.clone(), Rc::new(Limits::default()), now);
  let n: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
  for _ in 0..n { c.handle_input(block.clone(), now); let e=c.poll_event(); black_box(&e); drop(e);
   if mode=="whole" { c.send_head(StatusCode::OK, &fields, Length::Known(13), standing); c.send_data(Buf::from_static(b"Hello, World!")); c.send_end(now); black_box(c.poll_output()); } else {c.send_nothing(now);} } return; }
    for (n, r) in reqs {
        bench(&format!("{n} httparse"), || {
            let mut t = [const { MaybeUninit::<httparse::Header>::uninit() }; 100];
            let mut q = httparse::Request::new(&mut []);
            let s = q.parse_with_uninit_headers(black_box(r), &mut t);
            black_box((&s, &q));
        });
        let pool = Pool::new();
        let now = Instant::now();
        let mut fields = Fields::new();
        fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let mut c = Connection::new(pool.clone(), Rc::new(Limits::default()), now);
        let block = pool.copy(r);
        bench(&format!("{n} buf clone+drop"), || {
            black_box(block.clone());
        });
        bench(&format!("{n} input+event+end"), || {
            c.handle_input(block.clone(), now);
            let e = c.poll_event();
            black_box(&e);
            drop(e);
            c.send_nothing(now);
        });
        let lim = Limits::default();

        bench(&format!("{n} whole"), || {
            c.handle_input(block.clone(), now);
            let e = c.poll_event();
            black_box(&e);
            drop(e);
            c.send_head(StatusCode::OK, &fields, Length::Known(13), standing);
            c.send_data(Buf::from_static(b"Hello, World!"));
            c.send_end(now);
            assert!(c.poll_event().is_none());
            black_box(c.poll_output());
        });
        let many = pool.copy(&r.repeat(16));
        bench(&format!("{n} whole x16 (per batch)"), || {
            c.handle_input(many.clone(), now);
            while let Some(e) = c.poll_event() {
                black_box(&e);
                drop(e);
                c.send_head(StatusCode::OK, &fields, Length::Known(13), standing);
                c.send_data(Buf::from_static(b"Hello, World!"));
                c.send_end(now);
            }
            black_box(c.poll_output());
        });
    }
}
