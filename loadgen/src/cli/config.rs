//! `--config FILE`: options from a TOML file, where each key is the long name of an option.
//!
//! What must hold: an option of the file counts as if it stood before all others, so that those of
//! the command line win.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use toml::{Table, Value};

/// Puts the options of the file that `args` name behind the command, which is the second of them;
/// whether they name one.
///
/// # Errors
/// One line for the user.
pub(super) fn insert(args: &mut Vec<OsString>) -> Result<bool, String> {
    let Some(path) = path(args) else {
        return Ok(false);
    };
    let wrong = |error: String| format!("--config {}: {error}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
    let has_url = args.iter().any(|arg| is_url(arg));
    let mut options = Vec::new();
    for (key, value) in &table {
        match (key.as_str(), value) {
            ("url", Value::String(_)) if has_url => {}
            ("url", Value::String(url)) => options.push(url.clone()),
            _ => add(&mut options, key, value).map_err(wrong)?,
        }
    }
    args.splice(2..2, options.into_iter().map(OsString::from));
    Ok(true)
}

fn path(args: &[OsString]) -> Option<PathBuf> {
    let joined = args
        .iter()
        .find_map(|arg| arg.to_str()?.strip_prefix("--config="));
    let name = args.iter().position(|arg| arg == "--config");
    let behind = name.and_then(|at| args.get(at + 1));
    joined
        .map(PathBuf::from)
        .or_else(|| behind.map(PathBuf::from))
}

fn is_url(arg: &OsStr) -> bool {
    arg.to_str().is_some_and(|arg| arg.starts_with("http://"))
}

fn add(options: &mut Vec<String>, key: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => options.push(format!("--{key}={text}")),
        Value::Integer(number) => options.push(format!("--{key}={number}")),
        Value::Boolean(true) => options.push(format!("--{key}")),
        Value::Boolean(false) => {}
        Value::Array(values) => values
            .iter()
            .try_for_each(|value| add(options, key, value))?,
        _ => {
            return Err(format!(
                "{key}: it is a text, a whole number, true or a list"
            ));
        }
    }
    Ok(())
}
