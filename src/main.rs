fn main() -> std::process::ExitCode {
    let config = match premain::config::Config::read(std::env::args_os().skip(1), std::env::vars_os()) { Ok(c) => c, Err(e) => { eprintln!("{e}"); return e.exit().into() } };
    tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().init();
    premain::commands::run(&config, &premain::sys::Inherited).into()
}
