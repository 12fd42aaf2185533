//! The router through its public face: what each request is answered, handler by handler.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sunstar::Sharded;
use sunstar::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use sunstar::mem::Pool;
use sunstar::service::{
    Bytes, Content, FromRequest, IntoResponse, Json, Path, Query, Rejection, Reply, Request,
    Response, Router, Service,
};

/// A shelf of books by number: the state of these tests.
#[derive(Default)]
struct Shelf {
    books: BTreeMap<u32, Book>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Book {
    title: String,
    pages: u32,
}

#[derive(Deserialize)]
struct Filter {
    pages_min: Option<u32>,
}

enum Refused {
    Taken(u32),
    Blank,
}

impl IntoResponse for Refused {
    fn into_response(self, pool: &Pool) -> Response {
        match self {
            Refused::Taken(number) => {
                (StatusCode::CONFLICT, format!("{number} is taken")).into_response(pool)
            }
            Refused::Blank => StatusCode::UNPROCESSABLE_ENTITY.into_response(pool),
        }
    }
}

/// Who asks, as the field `X-User` says.
struct User(String);

const USER: HeaderName = HeaderName::from_static("x-user");

impl FromRequest<Shelf> for User {
    type Rejection = StatusCode;

    fn from_request(request: &Request, _shelf: &Sharded<Shelf>) -> Result<User, StatusCode> {
        let name = request.field(&USER).ok_or(StatusCode::UNAUTHORIZED)?;
        let name = std::str::from_utf8(name).map_err(|_| StatusCode::BAD_REQUEST)?;
        Ok(User(name.to_owned()))
    }
}

fn put_book(
    shelf: Sharded<Shelf>,
    Path(number): Path<u32>,
    Json(book): Json<Book>,
) -> Result<StatusCode, Refused> {
    if book.title.is_empty() {
        return Err(Refused::Blank);
    }
    shelf.local(|shelf| {
        if shelf.books.contains_key(&number) {
            return Err(Refused::Taken(number));
        }
        shelf.books.insert(number, book);
        Ok(StatusCode::CREATED)
    })
}

fn get_book(shelf: Sharded<Shelf>, Path(number): Path<u32>) -> Option<Json<Book>> {
    shelf.local(|shelf| shelf.books.get(&number).cloned().map(Json))
}

async fn list_books(shelf: Sharded<Shelf>, Query(filter): Query<Filter>) -> Json<Vec<Book>> {
    let pages_min = filter.pages_min.unwrap_or(0);
    let books = shelf.local(|shelf| {
        let books = shelf.books.values();
        let long = books.filter(|book| book.pages >= pages_min);
        long.cloned().collect()
    });
    std::future::ready(()).await;
    Json(books)
}

async fn clear(shelf: Sharded<Shelf>, user: User) -> String {
    shelf.local(|shelf| shelf.books.clear());
    format!("cleared by {}", user.0)
}

fn echo(request: &Request, Bytes(content): Bytes) -> Response {
    let media_type = request.field(&header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| HeaderValue::from_bytes(value).ok());
    let response = Response::new(StatusCode::OK).with_content(content);
    match media_type {
        Some(value) => response.with_field(header::CONTENT_TYPE, value),
        None => response,
    }
}

fn library() -> Router<Shelf> {
    Router::with(Sharded::single(Shelf::default()))
        .get("/books", list_books)
        .delete("/books", clear)
        .get("/books/{number}", get_book)
        .put("/books/{number}", put_book)
        .post("/echo", echo)
}

/// Status and text of the answer to `request`.
fn answer<T: 'static>(router: &Router<T>, request: Request) -> (u16, String) {
    let response = respond(router, request);
    (response.status.as_u16(), text(&response))
}

fn respond<T: 'static>(router: &Router<T>, request: Request) -> Response {
    let reply = router.call(request);
    reply.try_response().expect("nothing here waits")
}

fn text(response: &Response) -> String {
    String::from_utf8(response.content.as_bytes().to_vec()).expect("these answers are text")
}

fn field<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    let value = response.fields.get(name)?;
    Some(str::from_utf8(value).expect("these values are ASCII"))
}

fn put(number: &str, content: &'static str) -> Request {
    let request = Request::get(&format!("/books/{number}")).with_method(Method::PUT);
    request.with_content(content)
}

const MOBY_DICK: &str = r#"{"title":"Moby-Dick","pages":635}"#;

#[test]
fn handlers_of_one_router_share_the_state_of_their_shard() {
    let library = library();
    assert_eq!(answer(&library, put("1", MOBY_DICK)), (201, String::new()));
    let book = (200, MOBY_DICK.to_owned());
    assert_eq!(answer(&library, Request::get("/books/1")), book);
    let all = (200, format!("[{MOBY_DICK}]"));
    assert_eq!(answer(&library, Request::get("/books")), all);
    let none = (200, "[]".to_owned());
    let long = Request::get("/books?pages_min=636");
    assert_eq!(answer(&library, long), none);
}

#[test]
fn an_error_of_a_handler_is_its_answer() {
    let library = library();
    answer(&library, put("1", MOBY_DICK));
    let taken = (409, "1 is taken".to_owned());
    assert_eq!(answer(&library, put("1", MOBY_DICK)), taken);
    let blank = put("2", r#"{"title":"","pages":1}"#);
    assert_eq!(answer(&library, blank), (422, String::new()));
    let missing = Request::get("/books/2");
    assert_eq!(answer(&library, missing), (404, String::new()));
}

#[test]
fn a_refused_argument_is_answered_with_one_line_of_json() {
    let library = library();
    for (request, status, reason) in [
        (
            put("one", MOBY_DICK),
            400,
            "path: `number`: invalid digit found in string",
        ),
        (
            put("1", "{"),
            400,
            "EOF while parsing an object at line 1 column 1",
        ),
        (
            put("1", "{}"),
            422,
            "missing field `title` at line 1 column 2",
        ),
        (
            put("1", MOBY_DICK).with_field(header::CONTENT_TYPE, "text/plain"),
            415,
            "content is not declared as JSON: send `Content-Type: application/json`",
        ),
        (
            Request::get("/books?pages_min=x"),
            400,
            "query: invalid digit found in string",
        ),
    ] {
        let response = respond(&library, request);
        assert_eq!(response.status, status, "{reason}");
        assert_eq!(text(&response), format!("{{\"error\":\"{reason}\"}}"));
        let media_type = field(&response, &header::CONTENT_TYPE);
        assert_eq!(media_type, Some("application/json"));
    }
    assert_eq!(
        answer(&library, Request::get("/books")).1,
        "[]",
        "no refused request reached its handler"
    );
}

#[test]
fn an_extractor_of_the_users_own_may_refuse_with_any_response() {
    let library = library();
    let request = || Request::get("/books").with_method(Method::DELETE);
    assert_eq!(answer(&library, request()), (401, String::new()));
    let known = request().with_field(USER, "ahab");
    assert_eq!(answer(&library, known), (200, "cleared by ahab".to_owned()));
}

#[test]
fn a_plain_handler_answers_now_and_an_async_one_later() {
    let library = library();
    let plain = library.call(Request::post("/echo"));
    assert!(matches!(plain, Reply::Now(_)));
    let later = library.call(Request::get("/books"));
    assert!(matches!(later, Reply::Later(_)));
    let refused = library.call(Request::get("/books?pages_min=x"));
    assert!(matches!(refused, Reply::Now(_)), "no box for a refusal");
}

#[test]
fn content_goes_through_without_a_copy() {
    let content = "to and fro".repeat(1000);
    let address = content.as_ptr();
    let request = Request::post("/echo")
        .with_field(header::CONTENT_TYPE, "text/x-echo")
        .with_content(content);
    let response = respond(&library(), request);
    assert_eq!(response.content.as_bytes().as_ptr(), address);
    assert_eq!(field(&response, &header::CONTENT_TYPE), Some("text/x-echo"));
}

#[test]
fn head_is_answered_as_get_is() {
    let library = library();
    answer(&library, put("1", MOBY_DICK));
    let request = Request::get("/books/1").with_method(Method::HEAD);
    let response = respond(&library, request);
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(text(&response), MOBY_DICK, "the encoder drops the content");
    let request = Request::get("/echo").with_method(Method::HEAD);
    assert_eq!(respond(&library, request).status, 405);
}

#[test]
fn a_method_that_a_path_has_not_is_405_with_allow() {
    let library = library();
    let response = respond(&library, Request::post("/books/1"));
    assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(
        field(&response, &header::ALLOW),
        Some("GET, HEAD, OPTIONS, PUT")
    );
    assert!(matches!(response.content, Content::Empty));
    let response = respond(&library, Request::get("/echo"));
    assert_eq!(field(&response, &header::ALLOW), Some("OPTIONS, POST"));
}

#[test]
fn a_method_that_nobody_knows_is_501() {
    let brew = Method::from_bytes(b"BREW").unwrap();
    let router = Router::with(Sharded::single(())).get("/tea", || "tea");
    let request = || Request::get("/tea").with_method(brew.clone());
    assert_eq!(respond(&router, request()).status, 501);
    let router = router.route(brew.clone(), "/coffee", || "coffee");
    assert_eq!(respond(&router, request()).status, 405);
    let lower = Method::from_bytes(b"get").unwrap();
    let lower = Request::get("/tea").with_method(lower);
    assert_eq!(respond(&router, lower).status, 501);
}

#[test]
fn options_are_answered_with_what_there_is() {
    let library = library();
    let ask = |target: &str| {
        let request = Request::get(target).with_method(Method::OPTIONS);
        let response = respond(&library, request);
        let allow = field(&response, &header::ALLOW).map(str::to_owned);
        (response.status.as_u16(), allow)
    };
    let allow = |methods: &str| (204, Some(methods.to_owned()));
    assert_eq!(ask("/books"), allow("DELETE, GET, HEAD, OPTIONS"));
    assert_eq!(ask("*"), allow("DELETE, GET, HEAD, OPTIONS, POST, PUT"));
    assert_eq!(ask("/nowhere"), (404, None));
}

#[test]
fn a_path_without_a_route_is_404_or_the_fallbacks() {
    assert_eq!(answer(&library(), Request::get("/")), (404, String::new()));
    let library = library().fallback(async |method: Method, request: Request| {
        let path = request.path();
        (StatusCode::NOT_FOUND, format!("no {method} {path}"))
    });
    let nowhere = Request::post("/books/1/2").with_content("lost");
    assert_eq!(
        answer(&library, nowhere),
        (404, "no POST /books/1/2".to_owned())
    );
    let unallowed = Request::post("/books");
    assert_eq!(respond(&library, unallowed).status, 405);
}

#[test]
fn a_handler_may_look_at_a_refusal_itself() {
    let lenient = |number: Result<Path<u32>, Rejection>| match number {
        Ok(Path(number)) => format!("number {number}"),
        Err(rejection) => format!("{} all the same", rejection.status()),
    };
    let router = Router::with(Sharded::single(())).get("/{number}", lenient);
    let number = (200, "number 7".to_owned());
    assert_eq!(answer(&router, Request::get("/7")), number);
    let refused = (200, "400 Bad Request all the same".to_owned());
    assert_eq!(answer(&router, Request::get("/x")), refused);
}

#[test]
fn a_request_at_rest_holds_nothing_of_the_pool() {
    let request = Request::get("/books").with_field(USER, "ahab");
    let pool = request.pool().clone();
    let response = respond(&library(), request);
    assert_eq!(pool.outstanding(), 1, "the response alone");
    drop(response);
    assert_eq!(pool.outstanding(), 0);
}
