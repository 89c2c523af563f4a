//! `meetbot jobs download JOB [DIR]`: all files of a recording, with a bar on a terminal.

use std::{
    collections::HashMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use meetbot::{Manifest, MeetBot};
use serde_json::json;

use super::{JobArgs, id_of};
use crate::output::{Output, counted};

/// How often the bar looks.
const LOOK: Duration = Duration::from_millis(100);

/// The arguments of `jobs download`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: JobArgs,
    /// Where to; made where it is missing, and files of the same names are replaced [default: a folder named like the job's id]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Downloads them, and prints where each is.
pub(super) async fn run(args: Args, client: &MeetBot, output: Output) -> anyhow::Result<()> {
    let id = id_of(client, &args.of.job).await?;
    let folder = args.folder.unwrap_or_else(|| PathBuf::from(&id));
    let download = client.download_artifacts(&id, &folder, true);
    let files = if output.is_live() {
        let manifest = client.manifest(&id).await?;
        let bar = Bar::new(&manifest, &folder);
        tokio::select! {
            files = download => {
                bar.shown.finish_and_clear();
                files?
            }
            never = bar.show() => match never {},
        }
    } else {
        download.await?
    };
    output.object(&json!({"jobId": id, "files": files}))?;
    output.lines(files.iter().map(|file| file.display()));
    let count = counted(files.len() as u64, "file");
    output.remark(format_args!("{count} in {}", folder.display()));
    Ok(())
}

/// How much of a recording has arrived in a folder.
struct Bar {
    shown: ProgressBar,
    folder: PathBuf,
    /// The files that are to come; of those that were there before, their inodes: a file is downloaded beside its place and then moved there.
    files: HashMap<String, Option<u64>>,
    waits_for_mix: bool,
}

impl Bar {
    fn new(manifest: &Manifest, folder: &Path) -> Self {
        let style = "{spinner} {msg} {bar:30} {bytes} of {total_bytes} ({elapsed})";
        let style = ProgressStyle::with_template(style).expect("the template is right");
        let bytes = manifest.files.iter().filter_map(|file| file.bytes).sum();
        let names = manifest.files.iter().filter_map(|file| file.name.clone());
        let before = |name: &str| folder.join(name).metadata().ok().map(|there| there.ino());
        Self {
            shown: ProgressBar::new(bytes).with_style(style),
            files: names.map(|name| (name.clone(), before(&name))).collect(),
            folder: folder.to_owned(),
            waits_for_mix: manifest.mixed.is_pending(),
        }
    }

    async fn show(&self) -> std::convert::Infallible {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            let (whole, bytes) = self.arrived();
            self.shown.set_position(bytes);
            let waits = self.waits_for_mix && bytes == 0;
            self.shown.set_message(if waits {
                "waiting for the mix".to_owned()
            } else {
                format!("{whole} of {}", counted(self.files.len() as u64, "file"))
            });
        }
    }

    /// How many files are whole, and how many bytes there are, those of the file that is on its way included.
    fn arrived(&self) -> (usize, u64) {
        let (mut whole, mut bytes) = (0, 0);
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(there) = entry.metadata() else { continue };
            match self.files.get(&name) {
                Some(before) if *before != Some(there.ino()) => {
                    whole += 1;
                    bytes += there.len();
                }
                None if self.is_part(&name) => bytes += there.len(),
                _ => {}
            }
        }
        (whole, bytes)
    }

    /// Whether it is a file on its way: `NAME.RANDOM.part`.
    fn is_part(&self, name: &str) -> bool {
        let beside = name.strip_suffix(".part").and_then(|name| name.rsplit_once('.'));
        beside.is_some_and(|(name, _)| self.files.contains_key(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_bar_counts_only_received_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: usize| {
            std::fs::write(folder.path().join(name), vec![0; bytes]).unwrap();
        };
        write("audio.Alice.webm", 500);
        write("notes.txt", 70);
        let manifest: Manifest = serde_json::from_value(json!({"jobId": "job_1", "files": [
            {"name": "audio.Alice.webm", "bytes": 1000}, {"name": "chat.jsonl", "bytes": 20}]}))
        .unwrap();
        let bar = Bar::new(&manifest, folder.path());
        assert_eq!((bar.arrived(), bar.shown.length()), ((0, 0), Some(1020)));
        write("audio.Alice.webm.c0ffee.part", 300);
        write("other.c0ffee.part", 9);
        assert_eq!(bar.arrived(), (0, 300));
        write("audio.Alice.webm.c0ffee.part", 1000);
        let path = |name: &str| folder.path().join(name);
        std::fs::rename(path("audio.Alice.webm.c0ffee.part"), path("audio.Alice.webm")).unwrap();
        write("chat.jsonl", 20);
        assert_eq!(bar.arrived(), (2, 1020));
    }
}
