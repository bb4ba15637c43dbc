//! The real program, spawned with the world's settings and nothing else of the environment.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

use super::{PATIENCE, World};

/// A process of the program. It is killed when it is dropped.
pub struct Program {
    child: Child,
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
    /// The signal that ended it.
    pub signal: Option<i32>,
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
            signal: status.signal(),
        }
    }
}

impl World {
    /// Starts the program.
    pub fn spawn(&self, arguments: &[&str]) -> Program {
        Program { child: self.command(arguments).spawn().unwrap() }
    }

    /// Runs the program to its end.
    pub async fn program(&self, arguments: &[&str]) -> Ended {
        self.spawn(arguments).ended().await
    }

    /// Runs the program to its end with something on its standard input.
    pub async fn program_reading(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        Program { child }.ended().await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wxpatrol"));
        command.args(arguments).env_clear().envs(self.settings());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

impl Program {
    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("the process was not waited for yet");
        kill(Pid::from_raw(i32::try_from(id).unwrap()), signal).unwrap();
    }

    /// Ends it as a crash would, at once, and waits until it is gone. `false`: it had ended by itself.
    pub async fn killed(mut self) -> bool {
        self.child.start_kill().ok();
        let status = self.child.wait().await.unwrap();
        status.signal() == Some(Signal::SIGKILL as i32)
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub async fn ended(self) -> Ended {
        let output = tokio::time::timeout(2 * PATIENCE, self.child.wait_with_output()).await;
        let output = output.expect("the program ends").unwrap();
        Ended::new(output.status, &output.stdout, &output.stderr)
    }
}
