//! A process whose CPU time and peak memory are read from `/proc`.

use std::{
    fs, io,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How often a process is looked at. Its peak memory in the last of these moments is not seen.
const EVERY: Duration = Duration::from_millis(10);
/// The kernel's unit of CPU times towards user space, the same on every Linux of today.
const TICK: Duration = Duration::from_millis(10);

/// What a process used.
#[derive(Debug, Clone, Default)]
pub struct Used {
    /// CPU time, user and system.
    pub cpu: Duration,
    /// The most memory resident at once.
    pub resident_bytes_max: u64,
    /// What it printed.
    pub stdout: String,
}

/// Runs a program to its end; an unhappy end is an error.
pub fn run(command: &mut Command) -> Result<Used> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("the program does not start")?;
    let mut used = Used::default();
    let mut seen = Instant::now();
    // A process that has ended keeps its times until it is waited for; its memory is gone by then.
    while alive(&child, &mut used)? {
        thread::sleep(EVERY.saturating_sub(seen.elapsed()));
        seen = Instant::now();
    }
    let output = child.wait_with_output()?;
    used.stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("the program ended with {}: {}", output.status, used.stdout);
    }
    Ok(used)
}

fn alive(child: &Child, used: &mut Used) -> Result<bool> {
    let process = format!("/proc/{}", child.id());
    let stat = fs::read_to_string(format!("{process}/stat"))?;
    used.cpu = TICK * (ticks(&stat, 11) + ticks(&stat, 12));
    if stat.rsplit(')').next().is_some_and(|after| after.trim_start().starts_with('Z')) {
        return Ok(false);
    }
    let status = match fs::read_to_string(format!("{process}/status")) {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    used.resident_bytes_max = used.resident_bytes_max.max(kilobytes.unwrap_or(0) * 1024);
    Ok(true)
}

/// CPU time of a process so far, user and system.
pub fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Ok(TICK * (ticks(&stat, 11) + ticks(&stat, 12)))
}

/// The same with its children, those that have ended included.
pub fn cpu_with_children(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let mut sum = (11..=14).map(|index| ticks(&stat, index)).sum::<u32>();
    for entry in fs::read_dir("/proc")? {
        let Some(child) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Whoever ends in between is counted with the ended ones the next time.
        let Ok(stat) = fs::read_to_string(format!("/proc/{child}/stat")) else { continue };
        if ticks(&stat, 1) == pid {
            sum += ticks(&stat, 11) + ticks(&stat, 12);
        }
    }
    Ok(TICK * sum)
}

/// A number of `/proc/PID/stat`, counted from the state on. The name in parentheses before it may hold spaces.
fn ticks(stat: &str, index: usize) -> u32 {
    let after = stat.rsplit(')').next().unwrap_or_default();
    after.split_whitespace().nth(index).and_then(|field| field.parse().ok()).unwrap_or(0)
}
