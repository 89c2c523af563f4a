//! The start of a server whose recordings are to be kept in a bucket: what is refused, and what is found there again.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{
    backup_rounds::{backup, dispatch, restore},
    bucket::{SHORT, completed, doctor, is_whole, nothing_is_on_disk, serve_bucket},
    bucket_server::{BUCKET, BucketServer, Fault},
    doctor::check,
    program::{client, create_key, manifest_of, meetbot, mix_reported, run, serve},
};

/// Why a server with these settings does not start.
fn refusal(settings: &[(&str, String)], data: &Path) -> String {
    let mut command = meetbot();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
    let output = run(command.envs(settings.iter().map(|(name, value)| (*name, value))));
    assert_ne!(output.code, Some(0), "{output:?}");
    assert!(!format!("{output:?}").contains("mb-test-secret"), "{output:?}");
    output.err
}

#[test]
fn an_unusable_bucket_is_refused_at_the_start_with_a_remedy() {
    let (data, bucket) = (TempDir::new().unwrap(), BucketServer::start());
    let with = |changes: &[(&'static str, &str)]| {
        let mut settings = bucket.settings("");
        for (name, value) in changes {
            settings.retain(|(known, _)| known != name);
            settings.push((name, (*value).to_owned()));
        }
        settings
    };
    let elsewhere = TempDir::new().unwrap();
    let secret = elsewhere.path().join("secret");
    std::fs::write(&secret, "another-secret").unwrap();
    let secret = secret.to_str().unwrap();
    for (settings, message) in [
        (with(&[("MEETBOT_STORAGE_URL", "acme")]), "must begin with s3://"),
        // A name that cannot be resolved.
        (
            with(&[("MEETBOT_STORAGE_ENDPOINT", &format!("http://{}.example", "x".repeat(64)))]),
            "storage.endpoint",
        ),
        (with(&[("AWS_SECRET_ACCESS_KEY", "another-secret")]), "is the secret access key the one"),
        (with(&[("AWS_ACCESS_KEY_ID", "another")]), "access key id"),
        (with(&[("MEETBOT_STORAGE_ACCESS_KEY_ID", "mb-test-key")]), "secret_access_key_file"),
        (
            with(&[
                ("MEETBOT_STORAGE_ACCESS_KEY_ID", "mb-test-key"),
                ("MEETBOT_STORAGE_SECRET_ACCESS_KEY_FILE", secret),
            ]),
            "is the secret access key the one",
        ),
        (with(&[("MEETBOT_RECORDINGS_SERVE", "both")]), "neither redirect nor proxy"),
    ] {
        let refused = refusal(&settings, data.path());
        assert!(refused.contains(message), "{message}: {refused}");
        let output = doctor(&settings, data.path(), &[]);
        let check = check(
            &output,
            if refused.contains("MEETBOT_") && !message.contains("secret") {
                "config"
            } else {
                "storage"
            },
        );
        assert!(check.0 == "fail" && check.1.contains(message), "{message}: {check:?}");
    }
    for (status, code, message) in [
        // The server of the tests makes a bucket that is missing.
        (404, "NoSuchBucket", "make the bucket"),
        (403, "AccessDenied", "s3:PutObject"),
        (403, "RequestTimeTooSkewed", "clock"),
        (301, "PermanentRedirect", "storage.region"),
        (400, "AuthorizationHeaderMalformed", "storage.region"),
        (501, "NotImplemented", "If-None-Match"),
    ] {
        bucket.fault("*", "", None, Fault::Refused(status, code));
        let refused = refusal(&bucket.settings(""), data.path());
        // Of a redirect the client keeps no code.
        let names_it = status == 301 || refused.contains(code);
        assert!(refused.contains(message) && names_it, "{code}: {refused}");
        bucket.lift();
    }
}

#[test]
fn servers_of_different_databases_cannot_share_a_prefix_or_change_their_bucket() {
    let bucket = BucketServer::start();
    let [data, other] = [(); 2].map(|()| TempDir::new().unwrap());
    let (server, url) = serve_bucket(data.path(), &bucket, "a");
    let (key, _) = create_key(data.path(), &[]);
    let id = dispatch(&client(&url, &key), SHORT, None);
    completed(&client(&url, &key), &id);
    is_whole(&bucket, data.path(), &client(&url, &key), &id);
    let refused = refusal(&bucket.settings("a"), other.path());
    assert!(
        refused.contains("used by other meetbot servers") && refused.contains("another prefix"),
        "{refused}"
    );
    let output = doctor(&bucket.settings("a"), other.path(), &[]);
    assert!(check(&output, "storage").1.contains("used by other meetbot servers"), "{output:?}");
    let (beside, _) = serve_bucket(other.path(), &bucket, "a/b");
    drop(beside);
    assert_eq!(check(&doctor(&bucket.settings("a"), data.path(), &[]), "storage").0, "ok");

    // Without the setting its recordings could neither be read nor deleted.
    assert_eq!(server.terminate(), Some(0));
    let refused = refusal(&[], data.path());
    assert!(
        refused.contains(&format!("s3://{BUCKET}/a")) && refused.contains("storage.url"),
        "{refused}"
    );

    // The database's copy is of the same servers: its recordings are where they were.
    let home = TempDir::new().unwrap();
    let [file, restored]: [PathBuf; 2] = ["copy.db", "restored"].map(|name| home.path().join(name));
    assert_eq!(backup(data.path(), &file).code, Some(0));
    let output = restore(&file, &restored, &[]);
    assert!(output.code == Some(0) && !output.out.contains("not there yet"), "{output:?}");
    let (_server, url) = serve_bucket(&restored, &bucket, "a");
    is_whole(&bucket, &restored, &client(&url, &key), &id);
}

#[test]
fn recordings_on_disk_stay_there_and_are_read_after_a_bucket_is_set() {
    let (data, bucket) = (TempDir::new().unwrap(), BucketServer::start());
    let (server, url) = serve(data.path(), None);
    let (key, _) = create_key(data.path(), &[]);
    let before = client(&url, &key);
    let id = dispatch(&before, SHORT, None);
    completed(&before, &id);
    mix_reported(&before, &id);
    assert_eq!(server.terminate(), Some(0));
    let (_server, url) = serve_bucket(data.path(), &bucket, "");
    let after = client(&url, &key);
    let manifest = manifest_of(&after, &id);
    for file in &manifest.files {
        assert_eq!(after.artifact(&id, &file.name).unwrap().len() as u64, file.bytes);
    }
    assert!(bucket.of_job(&id).is_empty());
    let receipt = after.delete_recording(&id).unwrap();
    assert_eq!(receipt.removed.len(), manifest.files.len() + 1);
    assert!(nothing_is_on_disk(data.path()));
}
