use super::*;
use crate::surroundings::ControllingTerminal;

fn surroundings(pid: i32, group: i32, session: i32, foreground: Option<i32>) -> Surroundings {
    Surroundings {
        pid: Pid::from_raw(pid),
        parent: (pid != 1).then(|| Pid::from_raw(100)),
        group: Pid::from_raw(group),
        session: Pid::from_raw(session),
        terminal: foreground.map(|group| ControllingTerminal {
            terminal: Terminal::Standard(0),
            foreground_group: Pid::from_raw(group),
        }),
        mask: SignalSet::EMPTY,
        child_signal_ignored: false,
        environment: Environment::default(),
        users: None,
    }
}

/// The plan for a program without a terminal, with all defaults.
pub fn plain() -> Plan {
    plan(&surroundings(7, 7, 7, None), |_| ())
}

fn plan(surroundings: &Surroundings, change: impl FnOnce(&mut Config)) -> Plan {
    let mut config = Config::default();
    change(&mut config);
    Plan::new(config, surroundings).unwrap()
}

const HANDED_OVER: Group = Group::Own { terminal: Some(Terminal::Standard(0)) };
const OWN: Group = Group::Own { terminal: None };

#[test]
fn j1_own_group_as_init_as_session_leader_and_without_a_terminal() {
    let group = |surroundings: &Surroundings| plan(surroundings, |_| ()).group;
    assert_eq!(group(&surroundings(1, 1, 1, None)), OWN);
    assert_eq!(group(&surroundings(1, 1, 1, Some(1))), HANDED_OVER);
    assert_eq!(group(&surroundings(1, 1, 0, Some(0))), OWN, "another group has the terminal");
    assert_eq!(group(&surroundings(200, 200, 200, Some(200))), HANDED_OVER);
    assert_eq!(group(&surroundings(200, 150, 100, None)), OWN);
}

#[test]
fn j2_a_terminal_job_shares_its_group() {
    let job = surroundings(200, 200, 100, Some(200));
    assert_eq!(plan(&job, |_| ()).group, Group::Shared);
    assert_eq!(plan(&job, |config| config.delivery = Delivery::Group).group, HANDED_OVER);
    let background = surroundings(200, 200, 100, Some(100));
    assert_eq!(plan(&background, |_| ()).group, Group::Shared);
    assert_eq!(plan(&background, |config| config.delivery = Delivery::Group).group, OWN);
}

#[test]
fn a_session_of_its_own_gets_the_terminal_that_sexton_leads() {
    let session = |surroundings: &Surroundings| {
        let plan = plan(surroundings, |config| config.group = GroupWish::Session);
        (plan.group, plan.stops)
    };
    let (none, stdin) = (None, Some(Terminal::Standard(0)));
    assert_eq!(
        session(&surroundings(1, 1, 1, Some(1))),
        (Group::Session(Session { terminal: stdin, parting_signal: None }), Stops::Undo)
    );
    assert_eq!(
        session(&surroundings(200, 200, 200, None)),
        (Group::Session(Session { terminal: none, parting_signal: None }), Stops::Undo)
    );
    let job = surroundings(200, 200, 100, Some(200));
    assert_eq!(
        session(&job),
        (Group::Session(Session { terminal: none, parting_signal: None }), Stops::Follow)
    );
    assert_eq!(
        session(&surroundings(200, 200, 100, None)),
        (Group::Session(Session { terminal: none, parting_signal: None }), Stops::Follow)
    );
}

#[test]
fn e2_reraise_is_for_terminal_jobs_and_never_for_init() {
    let job = surroundings(200, 200, 100, Some(200));
    let ci = surroundings(200, 200, 100, None);
    let init = surroundings(1, 1, 1, Some(1));
    let reraise = |surroundings, wish| plan(surroundings, |config| config.reraise = wish).reraise;
    assert!(reraise(&job, Reraise::Auto));
    assert!(!reraise(&ci, Reraise::Auto));
    assert!(reraise(&ci, Reraise::Always));
    assert!(!reraise(&job, Reraise::Never));
    assert!(!reraise(&init, Reraise::Always));
}

#[test]
fn r1_a_subreaper_when_not_init() {
    let adoption = |pid, wish| plan(&surroundings(pid, pid, 1, None), |c| c.subreaper = wish).adoption;
    assert_eq!(adoption(1, Subreaper::Required), Adoption::Init);
    assert_eq!(adoption(2, Subreaper::Auto), Adoption::Subreaper { required: false });
    assert_eq!(adoption(2, Subreaper::Required), Adoption::Subreaper { required: true });
    assert_eq!(adoption(2, Subreaper::Off), Adoption::None);
}

#[test]
fn p1_the_user_is_looked_up() {
    let mut here = surroundings(7, 7, 1, None);
    here.users = Some(crate::users::Users::read());
    let identity = plan(&here, |config| config.user = Some("4000:4001".parse().unwrap())).identity.unwrap();
    assert_eq!((identity.user.as_raw(), identity.group.as_raw()), (4000, 4001));
    assert!(plan(&here, |_| ()).identity.is_none());
}

#[test]
fn p1_the_order_in_which_the_environment_is_made() {
    let mut here = surroundings(7, 7, 1, None);
    let entries = ["A=1", "B=2", "HOME=/root"];
    here.environment =
        Environment::new(entries.iter().map(|entry| CString::new(*entry).unwrap().into()).collect());
    let plan = plan(&here, |config| {
        config.unset_variables = vec!["A".into(), "B".into()];
        config.set_variables = vec!["B=3".into(), "C=4".into()];
        config.arguments = vec!["${A:-none}${B}".into()];
        config.expand_variables = true;
    });
    let left: Vec<_> = plan.environment.entries().iter().map(|entry| entry.to_str().unwrap()).collect();
    assert_eq!(left, ["HOME=/root", "B=3", "C=4"]);
    assert_eq!(plan.config.arguments, ["none3"]);
}

#[test]
fn t3_only_named_variables_are_consumed_and_listen_pid_is_found() {
    let mut here = surroundings(7, 7, 1, None);
    let entries = ["SEXTON_QUIET=1", "SEXTON_QUIETER=1", "odd", "LISTEN_PID=70", "LISTEN_PID=7", "A="];
    here.environment =
        Environment::new(entries.iter().map(|entry| CString::new(*entry).unwrap().into()).collect());
    let plan = plan(&here, |config| config.consumed_variables = vec!["SEXTON_QUIET".to_owned()]);
    let left: Vec<_> = plan.environment.entries().iter().map(|entry| entry.to_str().unwrap()).collect();
    assert_eq!(left, entries[1..]);
    assert_eq!(plan.listen_pid, Some(3));
}

#[test]
fn a_nul_is_refused() {
    let word = OsStr::new("a\0b");
    assert_eq!(c_string(word), Err(Error::Nul(word.to_owned())));
}
