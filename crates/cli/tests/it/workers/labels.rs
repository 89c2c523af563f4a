//! Workers with labels, and consumers whose bots run only on some of them.

use meetbot::{JobStatus, blocking::MeetBot};

use super::{
    Setup, dispatch,
    status::{admin, scraped, value},
};
use crate::program::{CommandOutput, Running, await_job, client, create_key, meetbot, run, store};

impl Setup {
    /// A client of the consumer with this name.
    pub(super) fn client_of(&self, url: &str, consumer: &str) -> MeetBot {
        client(url, &create_key(self.data.path(), &["--consumer", consumer]).0)
    }

    pub(super) fn limit(&self, consumer: &str, labels: &str) -> CommandOutput {
        let mut command = meetbot();
        command.envs(store(self.data.path())).args(["consumers", "limit", consumer]);
        run(command.args(["--labels", labels, "--data-dir"]).arg(self.data.path()))
    }
}

/// A job that nobody here may take must not be looked for without a pause: each look is a transaction.
fn runs_without_haste(setup: &Setup, url: &str, client: &MeetBot) -> String {
    let admin = admin(setup, url);
    let written = || {
        let name = "meetbot_store_transaction_seconds_count{kind=\"write\",outcome=\"done\"}";
        value(&scraped(&admin), name)
    };
    let before = written();
    let id = dispatch(client, 3);
    completes(client, &id);
    let written = written() - before;
    assert!(written < 200.0, "{written} transactions in one short meeting");
    id
}

#[track_caller]
fn completes(client: &MeetBot, id: &str) {
    let job = await_job(client, id, |job| job.status.is_final());
    assert_eq!((&job.status, job.attempt), (&JobStatus::Completed, 1), "{job:#?}");
}

#[test]
fn a_consumers_bots_run_only_on_workers_with_its_labels() {
    let setup = Setup::new();
    let (_server, url) = setup.serve(0);
    let (acme, other) = (setup.client_of(&url, "acme"), setup.client_of(&url, "other"));
    let plain = setup.worker(&url, &["--label", "us"]);
    // The worker waits for jobs of everybody when the labels are set.
    completes(&acme, &dispatch(&acme, 1));
    let limited = setup.limit("acme", "net=fast,eu");
    assert!(limited.out.contains("only workers with the labels eu,net=fast"), "{limited:?}");
    let withheld = dispatch(&acme, 1);
    let of_other = runs_without_haste(&setup, &url, &other);
    let waits = acme.get_bot(&withheld).unwrap().unwrap();
    assert_eq!(waits.status, JobStatus::Queued, "{waits:#?}");
    // The other worker is idle.
    let labelled = setup.worker(&url, &["--label", "eu", "--label", "a", "--label", "net=fast"]);
    completes(&acme, &withheld);
    let again = dispatch(&acme, 1);
    completes(&acme, &again);
    let (code, log) = plain.terminate_with_log();
    assert_eq!(code, Some(0));
    assert!(log.contains(&of_other), "{log}");
    assert!(!log.contains(&withheld) && !log.contains(&again), "{log}");
    // It takes jobs of everybody.
    let of_other = dispatch(&other, 1);
    completes(&other, &of_other);
    let (_, log) = labelled.terminate_with_log();
    for job in [withheld, again, of_other] {
        assert!(log.contains(&format!("a bot was given to this worker job={job}")), "{log}");
    }
}

#[test]
fn a_servers_own_bots_have_its_labels() {
    let setup = Setup::new();
    let own = ("MEETBOT_BOTS_WORKERS", "own".to_owned());
    let (server, url) = setup.serve_with(0, std::slice::from_ref(&own));
    let (acme, other) = (setup.client_of(&url, "acme"), setup.client_of(&url, "other"));
    assert_eq!(setup.limit("acme", "eu").code, Some(0));
    let withheld = dispatch(&acme, 1);
    runs_without_haste(&setup, &url, &other);
    let waits = acme.get_bot(&withheld).unwrap().unwrap();
    assert_eq!(waits.status, JobStatus::Queued, "{waits:#?}");
    server.kill();
    let labels = ("MEETBOT_BOTS_LABELS", "us, eu".to_owned());
    let (_server, url) = setup.serve_with(0, &[own, labels]);
    let acme = setup.client_of(&url, "acme");
    completes(&acme, &withheld);
}

#[test]
fn a_worker_has_the_labels_of_its_settings_and_ends_with_a_bad_label() {
    let setup = Setup::new();
    let (_server, url) = setup.serve(0);
    let refused = |more: &[&str]| {
        let refused = run(&mut setup.worker_command(&url, more));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        refused.err
    };
    let error = refused(&["--label", "EU"]);
    let right = "a label is 1 to 63 of the characters a-z 0-9 . - _ = /, the first a letter or a digit, as in eu or net=fast";
    assert!(error.contains(&format!("\"EU\" is not a label; {right}")), "{error}");
    let many: Vec<_> =
        (0..17).flat_map(|number| ["--label".to_owned(), number.to_string()]).collect();
    let error = refused(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(error.contains("--label: 17 labels are too many; at most 16"), "{error}");
    let wrong = run(setup.worker_command(&url, &[]).env("MEETBOT_BOTS_LABELS", "eu,-x"));
    assert!(wrong.err.contains("bots.labels: \"-x\" is not a label"), "{wrong:?}");
    let acme = setup.client_of(&url, "acme");
    let wrong = setup.limit("acme", "eu;us");
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.err.contains("\"eu;us\" is not a label"), "{wrong:?}");

    assert_eq!(setup.limit("acme", "eu").code, Some(0));
    let mut command = setup.worker_command(&url, &[]);
    let (_worker, _) = Running::start(command.env("MEETBOT_BOTS_LABELS", "eu"));
    completes(&acme, &dispatch(&acme, 1));
}
