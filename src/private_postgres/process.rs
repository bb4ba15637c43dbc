//! Runs a command to its end, with a limit on its time and on how much of its words is kept.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No program that we start takes longer, unless it hangs; but for one that is given a time of its own.
const TIME_MAX: Duration = Duration::from_secs(240);
/// The end of the output is kept: that is where programs say what went wrong.
const OUTPUT_BYTES_MAX: usize = 1500;

/// How a command ended.
pub(super) struct Finished {
    pub(super) success: bool,
    /// Both output streams, trimmed, at most their last 1500 bytes.
    pub(super) output: String,
}

/// Waits for the command, not for its descendants: a server that it leaves behind may keep the streams open, so they go
/// through an unnamed pipe that is read only until the command has ended.
pub(super) fn finish(command: &mut Command) -> std::io::Result<Finished> {
    finish_within(TIME_MAX, command)
}

/// The same, with another limit on its time.
pub(super) fn finish_within(time_max: Duration, command: &mut Command) -> std::io::Result<Finished> {
    let (mut reader, writer) = std::io::pipe()?;
    let mut child = command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // The command holds copies of the pipe's writing end; they must go for the reader to see the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count) = reader.read(&mut chunk) {
            if count == 0 || sender.send(chunk[..count].to_vec()).is_err() {
                break;
            }
        }
    });

    let mut bytes = Vec::new();
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    let (success, late) = loop {
        bytes.extend(receiver.try_iter().flatten());
        if let Some(status) = child.try_wait()? {
            break (status.success(), false);
        }
        if started.elapsed() > time_max {
            child.kill()?;
            child.wait()?;
            break (false, true);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    };
    // What the command wrote last may still be on its way through the reading thread.
    while let Ok(chunk) = receiver.recv_timeout(Duration::from_millis(20)) {
        bytes.extend(chunk);
    }
    let tail = &bytes[bytes.len().saturating_sub(OUTPUT_BYTES_MAX)..];
    let mut output = String::from_utf8_lossy(tail).trim().to_owned();
    if late {
        output = format!("no end after {} s; {output}", time_max.as_secs());
    }
    Ok(Finished { success, output })
}

/// Whether a program of that name can be started by its name alone.
pub(super) fn on_search_path(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}
