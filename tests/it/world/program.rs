//! The real program, spawned with the world's settings and nothing else of the environment.

use std::{
    collections::BTreeMap,
    mem,
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    task::JoinHandle,
};

use super::{PATIENCE, World};

/// A process of the program. It is killed when it is dropped. What it prints is read all the time, so that it never waits.
pub struct Program {
    child: Child,
    stdout: Reading,
    stderr: Reading,
}

/// What a process prints, as far as it was read. A test that fails beside a process shows the end of it.
struct Reading {
    bytes: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Reading {
    fn new(mut stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&bytes);
        let task = tokio::spawn(async move {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut chunk).await {
                read.lock().unwrap().extend_from_slice(&chunk[..length]);
            }
        });
        Self { bytes, task }
    }

    /// Everything, once the stream has ended.
    async fn whole(&mut self) -> Vec<u8> {
        (&mut self.task).await.unwrap();
        mem::take(&mut self.bytes.lock().unwrap())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        if let Ok(bytes) = self.bytes.lock()
            && !bytes.is_empty()
        {
            let last = bytes.len().saturating_sub(8192);
            eprintln!("a process that was still read had printed:\n{}", String::from_utf8_lossy(&bytes[last..]));
        }
    }
}

/// How a process of the program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None`: a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said and logged.
    pub stderr: String,
}

impl Ended {
    /// Both streams, for tests of what must not be in either.
    pub fn everything(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    fn new(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Self {
        Self {
            code: status.code(),
            stdout: String::from_utf8_lossy(stdout).into_owned(),
            stderr: String::from_utf8_lossy(stderr).into_owned(),
        }
    }
}

impl World {
    /// Starts the program.
    pub fn spawn(&self, arguments: &[&str]) -> Program {
        Program::new(self.command(arguments).spawn().unwrap())
    }

    /// Starts the program with these settings and none of the world's.
    pub fn spawn_under(&self, arguments: &[&str], settings: BTreeMap<String, String>) -> Program {
        let mut command = self.command(arguments);
        Program::new(command.env_clear().envs(settings).spawn().unwrap())
    }

    /// Runs the program to its end.
    pub async fn program(&self, arguments: &[&str]) -> Ended {
        self.spawn(arguments).ended().await
    }

    /// Starts the program with other settings than the world's; an empty one counts as not set.
    pub fn spawn_with(&self, settings: &[(&str, &str)], arguments: &[&str]) -> Program {
        Program::new(self.command(arguments).envs(settings.iter().copied()).spawn().unwrap())
    }

    /// Runs the program to its end with other settings than the world's.
    pub async fn program_with(&self, settings: &[(&str, &str)], arguments: &[&str]) -> Ended {
        self.spawn_with(settings, arguments).ended().await
    }

    /// Runs the program to its end with something on its standard input.
    pub async fn program_reading(&self, arguments: &[&str], input: &str) -> Ended {
        self.program_reading_with(&[], arguments, input).await
    }

    /// The same with other settings than the world's.
    pub async fn program_reading_with(&self, settings: &[(&str, &str)], arguments: &[&str], input: &str) -> Ended {
        let mut command = self.command(arguments);
        let mut child = command.envs(settings.iter().copied()).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that refuses its arguments ends without reading.
        stdin.write_all(input.as_bytes()).await.ok();
        drop(stdin);
        Program::new(child).ended().await
    }

    /// Starts the program with a standard input that says nothing for as long as the second is kept.
    pub fn spawn_waiting(&self, arguments: &[&str]) -> (Program, ChildStdin) {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        (Program::new(child), stdin)
    }

    /// Starts the program for a reader that has gone: whatever it prints breaks the pipe. Back when it has said a line, and
    /// what it said.
    pub async fn spawn_unread(&self, arguments: &[&str]) -> (Program, String) {
        let mut child = self.command(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        tokio::time::timeout(PATIENCE, stderr.read_line(&mut said)).await.expect("it says a line").unwrap();
        (Program { child, stdout: Reading::new(tokio::io::empty()), stderr: Reading::new(stderr) }, said)
    }

    /// Starts the program for one who does not hear what it says: whatever it says or logs breaks the pipe.
    pub fn spawn_unheard(&self, arguments: &[&str]) -> Program {
        let mut child = self.command(arguments).spawn().unwrap();
        drop(child.stderr.take());
        let stdout = Reading::new(child.stdout.take().unwrap());
        Program { child, stdout, stderr: Reading::new(tokio::io::empty()) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wxpatrol"));
        command.args(arguments).env_clear().envs(self.settings());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

impl Program {
    fn new(mut child: Child) -> Self {
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, stdout: Reading::new(stdout), stderr: Reading::new(stderr) }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("the process was not waited for yet");
        kill(Pid::from_raw(i32::try_from(id).unwrap()), signal).unwrap();
    }

    /// How many files and connections it has open.
    pub fn open_files(&self) -> usize {
        let id = self.child.id().expect("the process was not waited for yet");
        std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it as a crash would, at once, and waits until it is gone. `false`: it had ended by itself.
    pub async fn killed(mut self) -> bool {
        self.child.start_kill().ok();
        let status = self.child.wait().await.unwrap();
        status.signal() == Some(Signal::SIGKILL as i32)
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ended {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        if status.is_err() {
            self.child.start_kill().ok();
        }
        let (stdout, stderr) = (self.stdout.whole().await, self.stderr.whole().await);
        match status {
            Ok(status) => Ended::new(status.unwrap(), &stdout, &stderr),
            Err(_) => panic!("the program does not end: {}", String::from_utf8_lossy(&stderr)),
        }
    }
}
