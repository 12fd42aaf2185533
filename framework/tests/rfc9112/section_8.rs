//! Section 8, Handling Incomplete Messages.

use crate::harness::{exchange, exchange_and_end, get};

/// 8: a server that receives an incomplete request MAY send an error before it closes.
#[test]
fn a_head_that_is_cut_off_is_refused() {
    let request = get("A: b\r\n");
    for len in 1..request.len() {
        let cut = &request[..len];
        assert_eq!(
            exchange_and_end(cut),
            "400 message cut off | closed",
            "{cut:?}"
        );
    }
    assert_eq!(exchange_and_end(&request), "200 GET / | closed");
}

#[test]
fn a_head_that_is_not_complete_yet_gets_no_answer() {
    let request = get("A: b\r\n");
    for len in 0..request.len() {
        assert_eq!(exchange(&request[..len]), "open");
    }
}

#[test]
fn what_came_before_the_end_is_answered() {
    let input = get("").repeat(2) + "GET /cut";
    assert_eq!(
        exchange_and_end(input),
        "200 GET / | 200 GET / | 400 message cut off | closed"
    );
}
