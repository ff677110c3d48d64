//! `keytool rehearse`: restores a backup in a scratch place, and says whether what is live would open from it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldseal::envelope::KeyId;
use fieldseal::journal::{ErasureJournal, FileJournal, Head, MemoryJournal};
use fieldseal::store::{Expected, Filter, KeyStore, Scan, SlotId};
use fieldseal::vault::{Examination, ExaminedSlots, ReplayReport};
use fieldseal_sqlx::SqliteStore;
use serde_json::{Value, json};

use crate::config::shown;
use crate::exit::{Exit, Failure};
use crate::masters::Providers;
use crate::open::{Ports, Tool};
use crate::output::Report;
use crate::ports::{ProviderUrl, StoreUrl};
use crate::progress::Progress;
use crate::scratch::Scratch;
use crate::text::{count, plural, slot, slot_json};

/// Restore a backup in a scratch place, replay the journal on it, and say whether what is live would open from it.
///
/// Neither what is live nor the backup is written to. The journal is the live one, in a copy, unless the backup has one; so are the
/// master keys. Exit code 0 if everything that lives would open, 7 if only what was made since the backup would not, 8 if more
/// would not, or somebody who is erased would.
#[derive(Debug, clap::Args)]
pub(crate) struct Rehearse {
    /// A folder with the files of a backup, under the names that they have in the configuration; the key store's file alone; or the
    /// URL of a key store that was restored elsewhere (`postgres://..`, `dynamodb:..`).
    #[arg(value_name = "BACKUP")]
    backup: String,
    /// Where the scratch place is made, and removed at the end: where there is room for a key store. The system's folder for
    /// temporary files where nothing is said.
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
}

/// What there is of a backup.
struct Backup {
    store: BackedUp,
    /// Where other files of it may be.
    folder: Option<PathBuf>,
}

enum BackedUp {
    /// The file of an SQLite store.
    File(PathBuf),
    /// A store that is read where it is.
    Url(StoreUrl),
}

/// What came of it, subject by subject.
#[derive(Default)]
struct Compared {
    /// Living subjects that would open with every key that they have.
    whole: u64,
    /// With some of their keys: the others were made since the backup.
    in_part: Vec<SlotId>,
    /// Not at all: they came since the backup.
    unknown: Vec<SlotId>,
    /// Not at all, because their slot in the backup, or its tenant's, doesn't open.
    failed: Vec<(SlotId, Failure)>,
    /// They are erased, and would open.
    back: Vec<SlotId>,
    /// They don't open now, and would.
    mended: Vec<SlotId>,
}

impl Rehearse {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let backup = Backup::find(&self.backup, tool)?;
        let live = tool.ports().await?;
        let scratch = Scratch::new(&self.scratch.unwrap_or_else(std::env::temp_dir))?;
        let rehearsed = in_scratch(tool, &backup, &live, &scratch).await;
        // Also where it failed: keys were copied.
        let removed = scratch.remove();
        let report = rehearsed?;
        removed.map(|()| report)
    }
}

async fn in_scratch(tool: &Tool, backup: &Backup, live: &Ports, scratch: &Scratch) -> Result<Report, Failure> {
    let store = backup.store(tool, scratch).await?;
    let rehearsed = rehearse(tool, backup, live, scratch, &store).await;
    // What is in its log would be written into the file when it is closed, after that was wiped. Where this fails, as it may, so be it.
    let _ = store.scrub().await;
    rehearsed
}

impl Backup {
    fn find(named: &str, tool: &Tool) -> Result<Self, Failure> {
        let path = Path::new(named);
        if path.is_dir() {
            let what =
                "a folder is a backup of an SQLite file: name the URL of the key store that was restored elsewhere";
            let own = tool.config.store.as_file().ok_or_else(|| Failure::usage(what))?;
            let file = within(path, own)
                .ok_or_else(|| Failure::not_found(format!("{} has no {}", shown(path), shown(own))))?;
            return Self::of_file(&file, Some(path.to_owned()), tool);
        }
        if path.is_file() {
            return Self::of_file(path, None, tool);
        }
        let Ok(url) = named.parse::<StoreUrl>() else {
            return Err(Failure::not_found(format!(
                "{} is no folder, no file, and no URL of a key store",
                shown(path)
            )));
        };
        match url.as_file() {
            Some(file) => Self::of_file(&tool.config.path(file), None, tool),
            None if url.place(tool.config.folder()) == tool.config.store.place(tool.config.folder()) => Err(is_live()),
            None => Ok(Self { store: BackedUp::Url(url), folder: None }),
        }
    }

    fn of_file(file: &Path, folder: Option<PathBuf>, tool: &Tool) -> Result<Self, Failure> {
        let found = file.canonicalize().map_err(|e| Failure::of_file("find", file, &e))?;
        let live = tool.config.store.as_file().and_then(|live| tool.config.path(live).canonicalize().ok());
        if live.is_some_and(|live| live == found) {
            return Err(is_live());
        }
        Ok(Self { store: BackedUp::File(found), folder })
    }

    /// A file of it that stands for one that the configuration names.
    fn has(&self, own: &Path) -> Option<PathBuf> {
        within(self.folder.as_deref()?, own)
    }

    /// The master keys: those of the backup, where it has some. And how many it has.
    async fn providers(&self, tool: &Tool) -> Result<(Providers, u64), Failure> {
        let (mut common, mut tenants, mut taken) = (tool.config.provider.clone(), tool.config.tenants.clone(), 0);
        let members = std::iter::once(&mut common).chain(tenants.values_mut()).flat_map(|config| config.members_mut());
        for member in members {
            if let Some(file) = member.url.as_file().and_then(|own| self.has(own)) {
                // Opened where it is: that changes nothing, and leaves no second copy of master keys.
                let file = std::path::absolute(&file).map_err(|e| Failure::of_file("find", &file, &e))?;
                member.url = ProviderUrl::Keyring(file);
                taken += 1;
            }
        }
        Ok((tool.providers_as(&common, &tenants).await?, taken))
    }

    /// The key store, in the scratch place.
    async fn store(&self, tool: &Tool, scratch: &Scratch) -> Result<Arc<dyn KeyStore>, Failure> {
        let copy = scratch.path("keys.db");
        let url = match &self.store {
            BackedUp::File(file) => {
                scratch.copy(file, "keys.db")?;
                // What its log has and it hasn't.
                let mut log = file.clone().into_os_string();
                log.push("-wal");
                if Path::new(&log).exists() {
                    scratch.copy(Path::new(&log), "keys.db-wal")?;
                }
                return Ok(Arc::new(SqliteStore::open(copy).await?));
            }
            BackedUp::Url(url) => url,
        };
        let (from, to) = (url.open(tool.config.folder()).await?, SqliteStore::open(copy).await?);
        let mut progress = Progress::new(tool.output, "slots copied", None);
        let mut scan = Scan::new(Filter::All).limit(Scan::MAX_LIMIT);
        loop {
            // What is damaged can't be copied, and is told as missing.
            let page = from.scan(&scan).await?;
            for stored in &page.slots {
                to.put(stored, Expected::Absent).await?;
            }
            progress.advance(page.slots.len() as u64);
            match page.next {
                Some(next) => scan = scan.starting_after(next),
                None => return Ok(Arc::new(to)),
            }
        }
    }

    /// The journal, in a copy; and whether it is the backup's.
    async fn journal(
        &self,
        tool: &Tool,
        live: &dyn ErasureJournal,
        scratch: &Scratch,
    ) -> Result<(Arc<dyn ErasureJournal>, bool), Failure> {
        if let Some(file) = tool.config.journal.as_file().and_then(|own| self.has(own)) {
            scratch.copy(&file, "erasures.journal")?;
            return Ok((Arc::new(FileJournal::open(scratch.path("erasures.journal")).await?), true));
        }
        let copy = MemoryJournal::with_id(live.id().await?);
        let (until, mut head) = (live.head().await?, Head::EMPTY);
        while head.position() < until.position() {
            let entries = live.read(head.position(), ENTRIES).await?;
            if entries.is_empty() {
                break;
            }
            for entry in &entries {
                head = copy.append(entry, &head).await?;
            }
        }
        Ok((Arc::new(copy), false))
    }
}

async fn rehearse(
    tool: &Tool,
    backup: &Backup,
    live: &Ports,
    scratch: &Scratch,
    store: &Arc<dyn KeyStore>,
) -> Result<Report, Failure> {
    let (provider, keyrings) = backup.providers(tool).await?;
    let (journal, has_journal) = backup.journal(tool, &*live.journal, scratch).await?;
    let ports = Ports { provider, store: store.clone(), journal };
    let parts = json!({ "keyrings": keyrings, "journal": has_journal });
    let replayed = match ports.builder(tool).replay().await {
        Ok((_, replayed)) => replayed,
        Err(e) => return does_not_open(e.into(), &parts),
    };
    let compared = compare(tool, live, &ports.builder(tool).examine().await?).await?;
    let exit = compared.exit();
    let mut text = format!(
        "The backup opens, with {} and {}. A replay would erase {} again, and put back {}.\n",
        if keyrings > 0 { "its own master keys" } else { "the live master keys" },
        if has_journal { "its own journal" } else { "the live journal" },
        count(replayed.erasures, "subject"),
        plural(replayed.flags, "hold or schedule", "holds or schedules"),
    );
    text.push_str(&compared.text());
    let json = json!({ "opens": true, "parts": parts, "replay": replay_json(&replayed), "subjects": compared.json() });
    Ok(Report::new(text, json).exit(exit))
}

/// That the backup doesn't open is the answer; that it can't be tried is none.
fn does_not_open(why: Failure, parts: &Value) -> Result<Report, Failure> {
    if !matches!(why.exit(), Exit::Unfit | Exit::Unverified) {
        return Err(why);
    }
    let text =
        format!("Nothing would open from this backup: {why}\ndocs/restore.md, section 4, says what that means.\n");
    let json = json!({ "opens": false, "parts": parts, "error": why.json() });
    Ok(Report::new(text, json).exit(Exit::Unverified))
}

async fn compare(tool: &Tool, live: &Ports, rehearsed: &Examination) -> Result<Compared, Failure> {
    let live = live.builder(tool).examine().await?;
    let (mut compared, mut from) = (Compared::default(), None);
    let mut progress = Progress::new(tool.output, "subjects compared", None);
    loop {
        let page = live.page(from.as_ref(), Scan::MAX_LIMIT).await?;
        progress.advance(page.subjects.len() as u64);
        let ids = page.subjects.iter().map(|subject| &subject.slot).chain(page.failed.iter().map(|(id, _)| id));
        let ids: Vec<SlotId> = ids.cloned().collect();
        let kept = rehearsed.slots(&ids).await?;
        from = page.next.clone();
        compared.add(&page, kept);
        if from.is_none() {
            return Ok(compared);
        }
    }
}

impl Compared {
    fn add(&mut self, live: &ExaminedSlots, kept: ExaminedSlots) {
        let mut failed: HashMap<SlotId, Failure> = kept.failed.into_iter().map(|(id, e)| (id, e.into())).collect();
        let keys = kept.subjects.into_iter().map(|subject| (subject.slot, subject.keys.into_iter().collect()));
        let keys: HashMap<SlotId, HashSet<KeyId>> = keys.collect();
        for subject in &live.subjects {
            let id = subject.slot.clone();
            let kept = keys.get(&id);
            match (subject.keys.is_empty(), kept) {
                (true, Some(kept)) if !kept.is_empty() => self.back.push(id),
                (true, _) => {}
                (false, Some(kept)) if subject.keys.iter().all(|key| kept.contains(key)) => self.whole += 1,
                (false, Some(kept)) if subject.keys.iter().any(|key| kept.contains(key)) => self.in_part.push(id),
                (false, _) => match failed.remove(&id) {
                    Some(e) => self.failed.push((id, e)),
                    None => self.unknown.push(id),
                },
            }
        }
        let is_kept = |id: &SlotId| keys.get(id).is_some_and(|kept| !kept.is_empty());
        self.mended.extend(live.failed.iter().map(|(id, _)| id).filter(|id| is_kept(id)).cloned());
    }

    fn exit(&self) -> Exit {
        match (self.failed.is_empty() && self.back.is_empty(), self.in_part.is_empty() && self.unknown.is_empty()) {
            (false, _) => Exit::Unverified,
            (true, false) => Exit::Partly,
            (true, true) => Exit::Done,
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{} would open with all that they have.\n", plural(self.whole, "subject", "subjects"));
        let mut list = |ids: &[SlotId], what: &str| {
            if !ids.is_empty() {
                text.push_str(&format!("\n{} {what}\n", plural(ids.len() as u64, "subject", "subjects")));
                ids.iter().take(LISTED).for_each(|id| text.push_str(&format!("  {}\n", slot(id))));
                text.push_str(if ids.len() > LISTED { "  .. (`--json` lists all)\n" } else { "" });
            }
        };
        list(&self.unknown, "would not open: they came since the backup, or their keys did.");
        list(&self.in_part, "would open in part: some of their keys were made since the backup.");
        list(&self.mended, "would open, and don't now: their slots can be put back from it.");
        list(&self.back, "would open although they are erased: is the journal whole?");
        for (id, e) in &self.failed {
            text.push_str(&format!("\n{} would not open: {e}\n", slot(id)));
        }
        text
    }

    fn json(&self) -> Value {
        let list = |ids: &[SlotId]| ids.iter().map(slot_json).collect::<Vec<_>>();
        json!({
            "whole": self.whole,
            "unknown": list(&self.unknown),
            "in_part": list(&self.in_part),
            "mended": list(&self.mended),
            "back": list(&self.back),
            "failed": self.failed.iter().map(|(id, e)| json!({ "slot": slot_json(id), "error": e.json() })).collect::<Vec<_>>(),
        })
    }
}

fn replay_json(replayed: &ReplayReport) -> Value {
    json!({
        "erasures": replayed.erasures,
        "flags": replayed.flags,
        "tenants": replayed.tenants,
        "roots_lost": replayed.roots_lost,
        "left": replayed.left,
        "unclear": replayed.unclear,
    })
}

/// The file in a folder that stands for one of the configuration: under its own path, or its name alone.
fn within(folder: &Path, own: &Path) -> Option<PathBuf> {
    let as_named = own.is_relative().then(|| folder.join(own));
    let by_name = own.file_name().map(|name| folder.join(name));
    as_named.into_iter().chain(by_name).find(|file| file.is_file())
}

fn is_live() -> Failure {
    Failure::usage("this is the live key store, and no backup of it")
}

/// Entries a read of the journal.
const ENTRIES: usize = 1000;
/// How many subjects a list of the text names.
const LISTED: usize = 10;
