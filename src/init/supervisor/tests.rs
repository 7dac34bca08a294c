//! Sequences of events, and the actions that must follow.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const QUIT: Signal = Signal::from_number(libc::SIGQUIT).unwrap();
const STOPPED: Event = Event::Stopped(Signal::TTIN);
const USR1: Signal = Signal::from_number(libc::SIGUSR1).unwrap();

fn rules() -> Rules {
    Rules {
        exec: false,
        grace: Some(8 * SECOND),
        signal_target: crate::init::rules::SignalTarget::Child,
        rewrite: BTreeMap::default(),
        term_delay: Duration::ZERO,
        remap_exit: BTreeMap::default(),
        pdeathsig: None,
    }
}

fn running(rules: &Rules) -> Supervisor<'_> {
    let mut supervisor = Supervisor::new(rules);
    supervisor.launched();
    supervisor
}

#[allow(clippy::unnecessary_wraps, reason = "it is what `on` returns")]
fn forward(signal: Signal) -> Option<Action> {
    Some(Action::Forward { signal, then: None })
}

#[test]
fn nothing_is_due_before_a_term() {
    let rules = rules();
    let mut supervisor = running(&rules);
    let now = Instant::now();
    assert_eq!(supervisor.on(Event::Arrived(USR1), now), forward(USR1));
    assert_eq!(supervisor.on(Event::Reaped { left: true }, now), None);
    assert_eq!(supervisor.deadline(), None);
}

#[test]
fn a_second_term_does_not_extend_the_grace_period() {
    let rules = rules();
    let mut supervisor = running(&rules);
    let now = Instant::now();
    assert_eq!(supervisor.on(Event::Arrived(Signal::INT), now), forward(Signal::INT));
    assert_eq!(supervisor.deadline(), Some(now + 8 * SECOND));
    let later = now + 7 * SECOND;
    assert_eq!(supervisor.on(Event::Arrived(Signal::TERM), later), forward(Signal::TERM));
    assert_eq!(supervisor.on(Event::Elapsed, later), None);
    assert_eq!(supervisor.on(Event::Elapsed, now + 8 * SECOND), Some(Action::Kill));
    assert_eq!(supervisor.deadline(), None);
}

#[test]
fn nothing_is_killed_without_a_grace_period() {
    let rules = Rules { grace: None, ..rules() };
    let mut supervisor = running(&rules);
    let now = Instant::now();
    supervisor.on(Event::Arrived(Signal::TERM), now);
    assert_eq!(supervisor.deadline(), None);
    supervisor.on(Event::Ended(0), now);
    supervisor.on(Event::Reaped { left: true }, now);
    assert_eq!(supervisor.deadline(), None);
}

#[test]
fn a_signal_that_is_rewritten_to_term_starts_the_grace_period() {
    let stop = Signal::parse("RTMIN+3").unwrap();
    let rewrite = [(stop, Some(Signal::TERM)), (Signal::TERM, Some(QUIT))].into();
    let rules = Rules { rewrite, ..rules() };
    for (arrived, forwarded) in [(stop, Signal::TERM), (Signal::TERM, QUIT)] {
        let mut supervisor = running(&rules);
        assert_eq!(supervisor.on(Event::Arrived(arrived), Instant::now()), forward(forwarded));
        assert!(supervisor.deadline().is_some());
    }
}

#[test]
fn a_dropped_term_does_not_start_the_grace_period() {
    let rules = Rules { rewrite: [(Signal::TERM, None)].into(), ..rules() };
    let mut supervisor = running(&rules);
    assert_eq!(supervisor.on(Event::Arrived(Signal::TERM), Instant::now()), None);
    assert_eq!(supervisor.deadline(), None);
}

#[test]
fn rewriting_delay_and_remapping_apply_to_the_application_only() {
    let rules = Rules {
        rewrite: [(Signal::TERM, Some(QUIT))].into(),
        term_delay: 5 * SECOND,
        remap_exit: [(143, 0)].into(),
        ..rules()
    };
    let mut supervisor = Supervisor::new(&rules);
    let now = Instant::now();
    assert_eq!(supervisor.on(Event::Arrived(Signal::TERM), now), forward(Signal::TERM));
    supervisor.on(Event::Ended(143), now);
    let exit = supervisor.on(Event::Reaped { left: false }, now);
    assert_eq!(exit, Some(Action::Exit(143)));

    let mut supervisor = running(&rules);
    assert_eq!(supervisor.on(Event::Arrived(Signal::TERM), now), None);
    assert_eq!(supervisor.deadline(), Some(now + 5 * SECOND));
    assert_eq!(supervisor.on(Event::Elapsed, now + 5 * SECOND), forward(QUIT));
    supervisor.on(Event::Ended(143), now);
    let exit = supervisor.on(Event::Reaped { left: false }, now);
    assert_eq!(exit, Some(Action::Exit(0)));
}

#[test]
fn leftovers_get_the_rest_of_the_grace_period_and_at_least_four_seconds() {
    let rules = rules();
    for (began, ended, deadline) in [(None, 0, 8), (Some(0), 2, 8), (Some(0), 7, 11)] {
        let mut supervisor = running(&rules);
        let start = Instant::now();
        if let Some(began) = began {
            supervisor.on(Event::Arrived(Signal::TERM), start + began * SECOND);
        }
        let now = start + ended * SECOND;
        assert_eq!(supervisor.on(Event::Ended(0), now), None);
        let action = supervisor.on(Event::Reaped { left: true }, now);
        assert_eq!(action, Some(Action::SignalLeftovers(Signal::TERM)));
        assert_eq!(supervisor.deadline(), Some(start + deadline * SECOND));
        let late = start + deadline * SECOND;
        assert_eq!(supervisor.on(Event::Elapsed, late), Some(Action::KillLeftovers));
        assert_eq!(supervisor.on(Event::Reaped { left: true }, late), Some(Action::KillLeftovers));
        // A process that cannot even be killed does not delay the exit.
        let exit = supervisor.on(Event::Elapsed, late + LEFTOVERS_GRACE);
        assert_eq!(exit, Some(Action::Exit(0)));
    }
}

#[test]
fn a_stopped_application_is_continued_by_a_term() {
    let rules = rules();
    let mut supervisor = running(&rules);
    let now = Instant::now();
    assert_eq!(supervisor.on(STOPPED, now), Some(Action::Suspend(Signal::TTIN)));
    assert_eq!(supervisor.on(Event::Arrived(USR1), now), forward(USR1));
    let woken = Some(Action::Forward { signal: Signal::TERM, then: Some(Then::Continue) });
    assert_eq!(supervisor.on(Event::Arrived(Signal::TERM), now), woken);
    assert_eq!(supervisor.on(Event::Arrived(Signal::TERM), now), forward(Signal::TERM));
}

#[test]
fn an_application_whose_stop_was_overtaken_by_the_term_is_continued_once() {
    let rules = rules();
    let mut supervisor = running(&rules);
    let now = Instant::now();
    assert_eq!(supervisor.on(Event::Arrived(Signal::TERM), now), forward(Signal::TERM));
    assert_eq!(supervisor.on(STOPPED, now), Some(Action::Continue));
    assert_eq!(supervisor.on(STOPPED, now), Some(Action::Suspend(Signal::TTIN)));
}

#[test]
fn a_stop_signal_that_is_rewritten_stops_the_init() {
    let rewrite = [
        (Signal::TSTP, Some(USR1)),
        (Signal::TTIN, Some(Signal::TERM)),
        (Signal::TTOU, Some(Signal::STOP)),
    ];
    let rules = Rules { rewrite: rewrite.into(), ..rules() };
    let suspend = |signal, stop| Some(Action::Forward { signal, then: Some(Then::Suspend(stop)) });
    for (arrived, action) in [
        (Signal::TSTP, suspend(USR1, Signal::TSTP)),
        (Signal::TTIN, suspend(Signal::TERM, Signal::TTIN)),
        // The application will stop, and the init together with it.
        (Signal::TTOU, forward(Signal::STOP)),
        (QUIT, forward(QUIT)),
    ] {
        assert_eq!(running(&rules).on(Event::Arrived(arrived), Instant::now()), action);
        // Not before the application is there.
        let booting = Supervisor::new(&rules).on(Event::Arrived(arrived), Instant::now());
        assert_eq!(booting, forward(arrived));
    }
    let rules = Rules { rewrite: [(Signal::TSTP, None)].into(), ..rules };
    assert_eq!(running(&rules).on(Event::Arrived(Signal::TSTP), Instant::now()), None);
}

/// Random sequences of what can happen to an init.
fn happenings() -> impl Strategy<Value = Vec<(u64, Happening)>> {
    let happening = prop_oneof![
        8 => (1..=64_i32).prop_map(Happening::Signal),
        2 => Just(Happening::Signal(libc::SIGTERM)),
        1 => Just(Happening::Stopped),
        1 => Just(Happening::Launched),
        4 => Just(Happening::OrphanComes),
        4 => Just(Happening::OrphanEnds),
        1 => any::<u8>().prop_map(Happening::ApplicationEnds),
    ];
    prop::collection::vec((0..4000_u64, happening), 0..200)
}

#[derive(Clone, Debug)]
enum Happening {
    Signal(i32),
    Stopped,
    Launched,
    OrphanComes,
    OrphanEnds,
    ApplicationEnds(u8),
}

/// A simulated application with orphans, to test a supervisor with.
struct World<'a> {
    supervisor: Supervisor<'a>,
    now: Instant,
    application: Option<u8>,
    orphans: usize,
    forwarded: Vec<Signal>,
    exit: Option<u8>,
}

impl World<'_> {
    fn happens(&mut self, event: Event) {
        if self.exit.is_some() {
            return;
        }
        match self.supervisor.on(event, self.now) {
            None | Some(Action::Suspend(_) | Action::SignalLeftovers(_)) => {}
            Some(Action::Continue) if event == STOPPED => {}
            Some(Action::Continue) => self.forwarded.push(Signal::CONT),
            Some(Action::Forward { signal, .. }) => {
                assert_eq!(self.application, None, "forwarded after the end");
                self.forwarded.push(signal);
            }
            Some(Action::Kill) => {
                assert_eq!(self.application, None, "killed after the end");
                self.application = Some(137);
                self.happens(Event::Ended(137));
                self.happens(Event::Reaped { left: self.orphans > 0 });
            }
            Some(Action::KillLeftovers) => {
                assert!(self.application.is_some(), "killed before the application ended");
                self.orphans = 0;
                self.happens(Event::Reaped { left: false });
            }
            Some(Action::Exit(exit)) => {
                assert_eq!(self.orphans, 0, "orphans are left");
                self.exit = Some(exit);
            }
        }
    }

    /// Advances the time, and reports every deadline in between.
    fn passes(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(deadline) = self.supervisor.deadline()
            && deadline <= until
            && self.exit.is_none()
        {
            self.now = deadline;
            self.happens(Event::Elapsed);
        }
        self.now = until;
    }
}

proptest! {
    /// In any order: the exit status is the application's, everything that arrived while it was
    /// alive was forwarded, and the init exits when the last process is gone, and not before.
    #[test]
    fn any_order_of_events_ends_well(
        happenings in happenings(),
        grace in prop::option::of(1..20_u64),
        delay in 0..3_u64,
    ) {
        let rules = Rules {
            grace: grace.map(Duration::from_secs),
            term_delay: Duration::from_secs(delay),
            ..rules()
        };
        let mut world = World {
            supervisor: Supervisor::new(&rules),
            now: Instant::now(),
            application: None,
            orphans: 0,
            forwarded: Vec::new(),
            exit: None,
        };
        let mut sent = Vec::new();
        for (milliseconds, happening) in happenings {
            world.passes(Duration::from_millis(milliseconds));
            if world.exit.is_some() {
                break;
            }
            match happening {
                Happening::Signal(number) => {
                    let signal = Signal::from_number(number).unwrap();
                    if world.application.is_none() {
                        sent.push(signal);
                    }
                    world.happens(Event::Arrived(signal));
                }
                Happening::Stopped if world.application.is_none() => world.happens(STOPPED),
                Happening::Launched => world.supervisor.launched(),
                Happening::OrphanComes => world.orphans += 1,
                Happening::OrphanEnds => {
                    world.orphans = world.orphans.saturating_sub(1);
                    let left = world.orphans > 0 || world.application.is_none();
                    world.happens(Event::Reaped { left });
                }
                Happening::ApplicationEnds(status) if world.application.is_none() => {
                    world.application = Some(status);
                    world.happens(Event::Ended(status));
                    world.happens(Event::Reaped { left: world.orphans > 0 });
                }
                Happening::Stopped | Happening::ApplicationEnds(_) => {}
            }
        }
        // In the end every process ends.
        if world.application.is_none() {
            world.passes(Duration::from_secs(delay));
            if world.application.is_none() {
                world.application = Some(0);
                world.happens(Event::Ended(0));
                world.happens(Event::Reaped { left: world.orphans > 0 });
            }
        }
        if world.exit.is_none() {
            world.orphans = 0;
            world.happens(Event::Reaped { left: false });
        }
        prop_assert_eq!(world.exit, world.application);

        // A delayed TERM may have been overtaken by a second TERM, or by the end of the
        // application; all other signals were forwarded in their order.
        let others = |signals: &[Signal]| -> Vec<Signal> {
            signals.iter().copied().filter(|&signal| signal != Signal::TERM).collect()
        };
        prop_assert_eq!(others(&world.forwarded), others(&sent));
        let terms = |signals: &[Signal]| signals.len() - others(signals).len();
        if delay == 0 {
            prop_assert_eq!(terms(&world.forwarded), terms(&sent));
        } else {
            prop_assert!(terms(&world.forwarded) + 1 >= terms(&sent));
        }
    }
}
