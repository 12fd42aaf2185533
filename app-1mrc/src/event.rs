//! [`Event`]: `{"userId": string, "value": number}`, read strictly from the bytes of a body.
//!
//! What must hold: an event has a user that is not empty and a finite value, the double nearest to
//! the number as written. Every JSON text (RFC 8259) that has both is a good event: members in any
//! order, others ignored, escaped keys, and of equal keys the last one counts.

use std::borrow::Cow;

use crate::json::{Fault, Number, Reader};

/// One event, as its body tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<U> {
    /// The decoded `userId`, or what was made of it.
    pub user: U,
    /// The `value`; finite.
    pub value: f64,
}

/// Why a body is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// The body is not UTF-8.
    NotUtf8,
    /// The body is not one JSON object.
    NotObject,
    /// The body breaks the grammar of JSON.
    Malformed,
    /// Objects and arrays nest over 128 deep.
    TooDeep,
    /// There is no `userId`.
    UserMissing,
    /// `userId` is not a string.
    UserNotString,
    /// `userId` is the empty string.
    UserEmpty,
    /// There is no `value`.
    ValueMissing,
    /// `value` is not a number.
    ValueNotNumber,
    /// `value` is too large for a double.
    ValueTooLarge,
}

impl<U> Event<U> {
    /// Reads an event from a whole body. `found` is called with each `userId` that may be one as
    /// soon as it is read, borrowed from the body unless it was written with escapes: several times
    /// if there are several, and also if the body turns out to be no event.
    ///
    /// # Errors
    /// Says what is wrong with the body.
    #[inline]
    pub fn parse<'a>(
        body: &'a [u8],
        mut found: impl FnMut(Cow<'a, str>) -> U,
    ) -> Result<Event<U>, Reject> {
        let text = std::str::from_utf8(body).map_err(|_| Reject::NotUtf8)?;
        let mut reader = Reader::new(text);
        if reader.peek() != Some(b'{') {
            return Err(Reject::NotObject);
        }
        let (mut user, mut value) = (Err(Reject::UserMissing), Err(Reject::ValueMissing));
        reader.object(|reader, key| {
            match &*key {
                "userId" => user = read_user(reader)?.map(&mut found),
                "value" => value = read_value(reader)?,
                _ => reader.skip_value()?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(Event {
            user: user?,
            value: nearest(value?)?,
        })
    }
}

impl Reject {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Reject; 10] = [
        Reject::NotUtf8,
        Reject::NotObject,
        Reject::Malformed,
        Reject::TooDeep,
        Reject::UserMissing,
        Reject::UserNotString,
        Reject::UserEmpty,
        Reject::ValueMissing,
        Reject::ValueNotNumber,
        Reject::ValueTooLarge,
    ];

    /// One line for the client, without quotes or backslashes.
    pub fn message(self) -> &'static str {
        match self {
            Reject::NotUtf8 => "the body is not UTF-8",
            Reject::NotObject => "the body is not a JSON object",
            Reject::Malformed => "the body is not well-formed JSON",
            Reject::TooDeep => "the body nests over 128 deep",
            Reject::UserMissing => "userId is missing",
            Reject::UserNotString => "userId is not a string",
            Reject::UserEmpty => "userId is empty",
            Reject::ValueMissing => "value is missing",
            Reject::ValueNotNumber => "value is not a number",
            Reject::ValueTooLarge => "value is too large for a double",
        }
    }

    /// The reason in one word, for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Reject::NotUtf8 => "not_utf8",
            Reject::NotObject => "not_object",
            Reject::Malformed => "malformed",
            Reject::TooDeep => "too_deep",
            Reject::UserMissing => "user_missing",
            Reject::UserNotString => "user_not_string",
            Reject::UserEmpty => "user_empty",
            Reject::ValueMissing => "value_missing",
            Reject::ValueNotNumber => "value_not_number",
            Reject::ValueTooLarge => "value_too_large",
        }
    }
}

impl From<Fault> for Reject {
    fn from(fault: Fault) -> Reject {
        match fault {
            Fault::Syntax => Reject::Malformed,
            Fault::TooDeep => Reject::TooDeep,
        }
    }
}

/// What a member says; a later member of the same name may still say better.
type Member<T> = Result<T, Reject>;

#[inline]
fn read_user<'a>(reader: &mut Reader<'a>) -> Result<Member<Cow<'a, str>>, Fault> {
    if reader.peek() != Some(b'"') {
        reader.skip_value()?;
        return Ok(Err(Reject::UserNotString));
    }
    let user = reader.string()?;
    Ok(if user.is_empty() {
        Err(Reject::UserEmpty)
    } else {
        Ok(user)
    })
}

#[inline]
fn read_value<'a>(reader: &mut Reader<'a>) -> Result<Member<Number<'a>>, Fault> {
    if matches!(reader.peek(), Some(b'"' | b'{' | b'[' | b't' | b'f' | b'n')) {
        reader.skip_value()?;
        return Ok(Err(Reject::ValueNotNumber));
    }
    reader.number().map(Ok)
}

/// The double nearest to the number that counts, which must be finite.
#[inline]
fn nearest(value: Number<'_>) -> Member<f64> {
    let value = value.nearest()?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Reject::ValueTooLarge)
    }
}
