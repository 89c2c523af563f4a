//! Leads the browser of each job of a server to an imitation of its own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use meetbot_imitation::Imitation;

/// A Chromium that is led to the imitation of its bot's job, by the switches in the file of the job's name: the bot is the parent of the program.
pub(crate) fn led_by_job(folder: &Path) -> PathBuf {
    let program = folder.join("chromium-of-the-test");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec chromium --version\njob=$(tr '\\0' '\\n' </proc/$PPID/cmdline | grep ^job_)\nuntil [ -f '{folder}'/$job ]; do sleep 0.1; done\n. '{folder}'/$job\nexec chromium \"$rules\" \"$key\" \"$space\" \"$@\"\n",
        folder = folder.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// Leads the browsers of this job to the imitation.
pub(crate) fn lead(job: &str, imitation: &Imitation, folder: &Path) {
    let (rules, key) = (imitation.resolver_rules(), imitation.spki_sha256());
    let text = format!(
        "rules='--host-resolver-rules={rules}'\nkey='--ignore-certificate-errors-spki-list={key}'\nspace='--ip-address-space-overrides={}=public'\n",
        imitation.address()
    );
    // Whole at once.
    let temporary = folder.join("new");
    fs::write(&temporary, text).unwrap();
    fs::rename(temporary, folder.join(job)).unwrap();
}
