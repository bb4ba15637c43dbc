//! What a person hands to a command: a file or standard input, and its lines.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, ErrorKind, Read, stdin},
};

use super::AppError;
use crate::cli::Input;

/// What a line is read as, with the line's number; or why it can not be.
pub(super) type Numbered<T> = (u64, Result<T, String>);

/// Opens an input.
///
/// # Errors
/// The file can not be opened.
pub(super) fn open(input: &Input) -> Result<Box<dyn Read>, AppError> {
    let Input::File(path) = input else { return Ok(Box::new(stdin())) };
    let file =
        File::open(path).map_err(|error| AppError::Input(format!("{} can not be read: {error}", path.display())))?;
    Ok(Box::new(file))
}

/// The lines of an input, each without a byte order mark before it. What can not be read once, such as a directory, fails for
/// ever: it ends the reading, and a line that is not UTF-8 does not.
pub(super) fn lines(reader: Box<dyn Read>) -> impl Iterator<Item = Result<Numbered<String>, AppError>> {
    (1..).zip(BufReader::new(reader).lines()).map(|(number, line)| match line {
        Ok(line) => Ok((number, Ok(line.trim_start_matches('\u{feff}').to_owned()))),
        Err(error) if error.kind() == ErrorKind::InvalidData => Ok((number, Err("it is not UTF-8".to_owned()))),
        Err(error) => Err(AppError::Input(format!("what was given can not be read: {error}"))),
    })
}
