//! [`Path`]: the parameters of the matched route as values.
//!
//! What must hold: each parameter is percent-decoded once, after the path was matched, so that an
//! encoded slash is part of a parameter and never divides it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::{FromRequest, Rejection, Request};
use crate::http::StatusCode;
use crate::sharded::Sharded;

/// The parameters of the path: one value, a tuple in the order of the path, or a struct or map by
/// name.
///
/// A parameter that is not what `P` asks for is refused with 400. A route that has not the
/// parameters that `P` asks for is a mistake of the program: 500.
///
/// # Examples
/// ```
/// use sunstar::Sharded;
/// use sunstar::service::{Path, Request, Router, Service};
///
/// fn greet(Path((name, times)): Path<(String, usize)>) -> String {
///     format!("hello {name} ").repeat(times)
/// }
///
/// let router = Router::with(Sharded::single(())).get("/greet/{name}/{times}", greet);
/// let response = router.call(Request::get("/greet/J%C3%B6rg/2")).try_response().unwrap();
/// assert_eq!(response.content.as_bytes(), "hello Jörg hello Jörg ".as_bytes());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<P>(pub P);

impl<T, P: DeserializeOwned> FromRequest<T> for Path<P> {
    type Rejection = Rejection;

    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<Path<P>, Rejection> {
        P::deserialize(Params { request })
            .map(Path)
            .map_err(|error| match error {
                Error::Value(reason) => Rejection::bad_request(reason),
                Error::Route(reason) => Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, reason),
            })
    }
}

/// Why the parameters are not what was asked for.
#[derive(Debug)]
enum Error {
    /// A value was wrong: the client's mistake.
    Value(String),
    /// The route and the type do not go together: the program's mistake.
    Route(String),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Error::Value(reason) | Error::Route(reason)) = self;
        out.write_str(reason)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<M: fmt::Display>(message: M) -> Error {
        Error::Value(format!("path: {message}"))
    }

    fn missing_field(field: &'static str) -> Error {
        Error::Route(format!("the route has no parameter `{field}`"))
    }
}

/// All parameters of a request.
struct Params<'de> {
    request: &'de Request,
}

impl<'de> Params<'de> {
    fn values(&self) -> impl ExactSizeIterator<Item = Value<'de>> + use<'de> {
        let params = self.request.params();
        params.map(|(name, text)| Value { name, text })
    }

    /// The parameters, which must be `count`.
    fn exactly(
        &self,
        count: usize,
    ) -> Result<impl ExactSizeIterator<Item = Value<'de>> + use<'de>, Error> {
        let values = self.values();
        if values.len() == count {
            return Ok(values);
        }
        let there = values.len();
        Err(Error::Route(format!(
            "the handler asks for {count} path parameters, the route has {there}"
        )))
    }

    /// The parameter, which must be the only one.
    fn only(&self) -> Result<Value<'de>, Error> {
        let mut values = self.exactly(1)?;
        Ok(values.next().expect("there is exactly one"))
    }
}

/// Reads the only parameter for the methods that ask for a single value.
macro_rules! single {
    ($($method:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                self.only()?.$method(visitor)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Params<'de> {
    type Error = Error;

    single! {
        deserialize_bool deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_option
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let entries = self.values().map(|value| (value.name, value));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(self.values()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(self.exactly(len)?))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! { map struct unit unit_struct identifier ignored_any }
}

/// One parameter, still percent-encoded.
#[derive(Clone, Copy)]
struct Value<'de> {
    name: &'de str,
    text: &'de str,
}

impl<'de> Value<'de> {
    fn decode(self) -> Result<Cow<'de, str>, Error> {
        let decoded = percent_decode_str(self.text).decode_utf8();
        decoded.map_err(|_| Error::Value(format!("path: `{}` is not UTF-8", self.name)))
    }

    fn parse<P: FromStr<Err: fmt::Display>>(self) -> Result<P, Error> {
        let text = self.decode()?;
        text.parse()
            .map_err(|error| Error::Value(format!("path: `{}`: {error}", self.name)))
    }
}

impl<'de> IntoDeserializer<'de, Error> for Value<'de> {
    type Deserializer = Value<'de>;

    fn into_deserializer(self) -> Value<'de> {
        self
    }
}

/// Parses the text for the methods that ask for what has a [`FromStr`].
macro_rules! parsed {
    ($($method:ident $visit:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                visitor.$visit(self.parse()?)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Error;

    parsed! {
        deserialize_bool visit_bool
        deserialize_char visit_char
        deserialize_i8 visit_i8
        deserialize_i16 visit_i16
        deserialize_i32 visit_i32
        deserialize_i64 visit_i64
        deserialize_i128 visit_i128
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
        deserialize_u128 visit_u128
        deserialize_f32 visit_f32
        deserialize_f64 visit_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.decode()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.decode()?.into_deserializer())
    }

    forward_to_deserialize_any! {
        str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    use serde::Deserialize;

    use super::*;
    use crate::http::Method;
    use crate::service::{Router, Service};

    /// Extracts a `P` from `target` as matched by `route`.
    fn extract<P: DeserializeOwned + 'static>(route: &str, target: &str) -> Result<P, Rejection> {
        let found = Rc::new(RefCell::new(None));
        let seen = Rc::clone(&found);
        let handler = move |path: Result<Path<P>, Rejection>| {
            *seen.borrow_mut() = Some(path.map(|Path(value)| value));
        };
        let router = Router::with(Sharded::single(())).route(Method::GET, route, handler);
        let _ = router.call(Request::get(target));
        found.take().expect("the route matches the target")
    }

    fn status_of<P: DeserializeOwned + 'static>(route: &str, target: &str) -> (u16, String) {
        match extract::<P>(route, target) {
            Ok(_) => panic!("{target} was taken"),
            Err(rejection) => (rejection.status().as_u16(), rejection.reason().to_owned()),
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Cat,
        Dog,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Id(u64);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Pet {
        id: Id,
        kind: Kind,
        nick: Option<String>,
    }

    #[test]
    fn one_parameter_is_one_value() {
        assert_eq!(extract::<u8>("/{a}", "/255"), Ok(255));
        assert_eq!(extract::<i64>("/{a}", "/-3"), Ok(-3));
        assert_eq!(extract::<char>("/{a}", "/%C3%A9"), Ok('\u{e9}'));
        assert_eq!(extract::<bool>("/{a}", "/true"), Ok(true));
        assert_eq!(extract::<String>("/{a}", "/b"), Ok("b".to_owned()));
        assert_eq!(extract::<Option<u8>>("/{a}", "/1"), Ok(Some(1)));
        assert_eq!(extract::<Id>("/{a}", "/7"), Ok(Id(7)));
        assert_eq!(extract::<Kind>("/{a}", "/dog"), Ok(Kind::Dog));
        assert_eq!(extract::<(u8,)>("/{a}", "/9"), Ok((9,)));
    }

    #[test]
    fn a_parameter_is_decoded_once_and_an_encoded_slash_does_not_divide() {
        let decoded = extract::<String>("/{a}/end", "/x%2Fy%2520z+%C3%BC/end");
        assert_eq!(decoded, Ok("x/y%20z+\u{fc}".to_owned()));
    }

    #[test]
    fn a_wildcard_holds_the_rest_of_the_path() {
        let rest = extract::<String>("/files/{*rest}", "/files/a/b//c");
        assert_eq!(rest, Ok("a/b//c".to_owned()));
    }

    #[test]
    fn several_parameters_are_a_tuple_or_a_list_in_the_order_of_the_path() {
        let tuple = extract::<(String, u32, Kind)>("/{a}/{b}/x/{c}", "/p/2/x/cat");
        assert_eq!(tuple, Ok(("p".to_owned(), 2, Kind::Cat)));
        let list = extract::<Vec<u8>>("/{a}/{b}/{c}/{d}/{e}", "/1/2/3/4/5");
        assert_eq!(list, Ok(vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn several_parameters_are_a_struct_or_a_map_by_name() {
        let pet = extract::<Pet>("/{kind}/{id}", "/cat/3").unwrap();
        let (id, kind, nick) = (Id(3), Kind::Cat, None);
        assert_eq!(pet, Pet { id, kind, nick });
        let map = extract::<BTreeMap<String, String>>("/{b}/img-{a}.png", "/1/img-%32.png");
        let entries = [("a", "2"), ("b", "1")].map(|(name, text)| (name.into(), text.into()));
        assert_eq!(map, Ok(BTreeMap::from(entries)));
    }

    #[test]
    fn a_value_that_does_not_fit_is_the_clients_mistake() {
        let wrong = (400, "path: `a`: invalid digit found in string".to_owned());
        assert_eq!(status_of::<u64>("/{a}", "/seven"), wrong);
        let wrong = (400, "path: `a` is not UTF-8".to_owned());
        assert_eq!(status_of::<String>("/{a}", "/%FF"), wrong);
        let (status, reason) = status_of::<Kind>("/{a}", "/cow");
        assert_eq!(status, 400);
        assert!(
            reason.starts_with("path: unknown variant `cow`"),
            "{reason}"
        );
    }

    #[test]
    fn a_route_that_does_not_fit_is_the_programs_mistake() {
        let wrong = "the handler asks for 1 path parameters, the route has 2";
        assert_eq!(
            status_of::<u64>("/{a}/{b}", "/1/2"),
            (500, wrong.to_owned())
        );
        let wrong = "the handler asks for 2 path parameters, the route has 0";
        assert_eq!(status_of::<(u8, u8)>("/", "/"), (500, wrong.to_owned()));
        let wrong = "the route has no parameter `id`";
        assert_eq!(status_of::<Pet>("/{kind}", "/cat"), (500, wrong.to_owned()));
    }
}
