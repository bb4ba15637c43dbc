//! How close the patrol comes to a bare loop over the same calls, and whether it keeps a limit: `cargo bench`.
//!
//! Everything here is a ratio of two measurements of one run on one machine, taken in turns, so that a busy machine slows
//! both sides; the numbers are printed and never asserted. WeChat is `wxpatrol simulate`, ours is the real
//! `wxpatrol --once`, the loop is this program again: three processes, so that their CPU time is told apart. Postgres is
//! the private one with everything flushed, and each run gets a fresh database cloned from one template.
//!
//! ```text
//! cargo bench                                       all of it, about twenty minutes
//! cargo bench -- throughput latency memory limit    some of it
//! cargo bench -- messages                           a limit on messages to people
//! cargo bench -- processes killed scale --million   several processes, and many merchants
//! cargo bench -- --quick --rounds 3                 fewer merchants and rounds
//! ```

mod bare;
mod child;
mod figures;
mod scale;
mod several;
mod world;

use anyhow::Result;
use clap::{Parser, ValueEnum};

/// The loop allocates as the worker does.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// Merchants a second and CPU time against the bare loop, and calls per transaction.
    Throughput,
    /// The same with answers that take 50 ms and 512 calls in flight.
    Latency,
    /// Peak memory with 20 000 and with ten times as many merchants.
    Memory,
    /// How much of a limit is used, and whether any second passes it, with one process and with three.
    Limit,
    /// The same with messages, each written down and on the disk before its call.
    Messages,
    /// Whether two processes do nearly twice the work of one.
    Processes,
    /// What a killed process costs: the limit, and the time until its items are done.
    Killed,
    /// What each merchant costs Postgres with ten thousand, a hundred thousand and, with --million, a million of them.
    Scale,
}

#[derive(Debug, Parser)]
struct Flags {
    /// What to measure; everything when nothing is named
    figures: Vec<Figure>,
    /// A quarter of the merchants
    #[arg(long)]
    quick: bool,
    /// `scale` goes up to a million merchants; takes minutes and some gigabytes
    #[arg(long)]
    million: bool,
    /// Rounds whose medians are taken
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    if let Some(order) = bare::Order::from_env() {
        return bare::run(&order);
    }
    let flags = Flags::parse();
    if !flags.bench {
        // `cargo test --all-targets` runs this too, and wants to know only whether it starts.
        return Ok(());
    }
    let figures = if flags.figures.is_empty() { Figure::value_variants().to_vec() } else { flags.figures };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let world = world::World::open().await?;
        println!("Postgres: {}, everything flushed; {} cores", world.origin(), std::thread::available_parallelism()?);
        for figure in figures {
            match figure {
                Figure::Throughput => figures::throughput(&world, flags.quick, flags.rounds).await?,
                Figure::Latency => figures::latency(&world, flags.quick, flags.rounds).await?,
                Figure::Memory => figures::memory(&world, flags.quick).await?,
                Figure::Limit => figures::limit(&world, flags.quick).await?,
                Figure::Messages => figures::messages(&world, flags.quick).await?,
                Figure::Processes => several::twice(&world, flags.quick).await?,
                Figure::Killed => several::killed(&world).await?,
                Figure::Scale => {
                    let sizes: &[usize] =
                        if flags.million { &[10_000, 100_000, 1_000_000] } else { &[10_000, 100_000] };
                    let scaled = scale::scale(&world, sizes).await;
                    world.log_nothing().await?;
                    scaled?;
                }
            }
        }
        world.close().await
    })
}
