//! Draws the dashboard of the template: `cargo run -p dropcollect-tests --bin dashboard > infra/dashboard.txt`.

fn main() -> anyhow::Result<()> {
    print!("{}", dropcollect_tests::dashboard::drawing()?);
    Ok(())
}
