//! Files of sites that come, change and go while the gate runs.
//!
//! Owns the sites that there are now. A file that is bad changes nothing, and one of the directory that is gone takes its site
//! with it. What is remembered of a site ends when its file changes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use super::authority;
use super::guard::Shared;
use super::maintenance;
use super::prepare::{Found, Quoted, Writing};
use super::reload::{self, STILL, Stamp, Watched};
use super::sites::{self, Guarded};
use crate::acme::Wanted;
use crate::config::{Acme, Fault, SiteFiles, SiteSettings};
use crate::connection::Service;
use crate::lock::EvenIfPoisoned;
use crate::metrics::{self, Reload};
use crate::tls::Certificates;

/// The sites that there are, and what is watched of them.
pub struct SiteWatch {
    files: Arc<SiteFiles>,
    shared: Shared,
    service: Arc<Service>,
    certificates: Arc<Certificates>,
    /// Names that an authority signs for, if one does; those of the main settings stay.
    wanted: Option<(Wanted, Option<Acme>)>,
    /// The files as they were when they were last read, good or bad.
    seen: HashMap<PathBuf, Option<Stamp>>,
    sites: Vec<Kept>,
    /// Files that were not taken, to be read again when something changes that may have been the reason.
    refused: Vec<Refused>,
    /// Why the directory could not be read the last time.
    trouble: Option<String>,
}

struct Refused {
    file: PathBuf,
    /// What it names, as that was.
    named: Vec<PathBuf>,
    seen: Vec<Option<Stamp>>,
}

impl Refused {
    fn has_changed(&self) -> bool {
        reload::stamps(&self.named) != self.seen
    }
}

struct Kept {
    site: Guarded,
    watched: Vec<Watched>,
}

impl SiteWatch {
    /// `sites` are those that the start has found.
    pub fn new(
        files: Arc<SiteFiles>,
        shared: Shared,
        service: &Arc<Service>,
        wanted: Option<(Wanted, Option<Acme>)>,
        sites: Vec<Guarded>,
    ) -> SiteWatch {
        let certificates = Arc::clone(&service.certificates);
        let seen = sites.iter();
        let seen = seen.map(|site| (site.settings.file.clone(), site.stamp));
        SiteWatch {
            files,
            shared,
            service: Arc::clone(service),
            wanted,
            seen: seen.collect(),
            sites: sites
                .into_iter()
                .map(|site| Kept::new(site, &certificates))
                .collect(),
            certificates,
            refused: Vec::new(),
            trouble: None,
        }
    }

    /// Takes what has changed; of what a site names, what `wanted` is true for. Where somebody has asked for it, what was refused is
    /// read again. Says whether there was something.
    pub fn look(&mut self, wanted: fn(&Watched) -> bool, is_asked: bool) -> bool {
        let all = self.sites.iter_mut().flat_map(|kept| &mut kept.watched);
        let mut has_news = reload::look(all, wanted);
        if let Some(now) = self.list()
            && (now != self.seen
                || is_asked && !self.refused.is_empty()
                || self.refused.iter().any(Refused::has_changed))
        {
            thread::sleep(STILL);
            if self.list().as_ref() == Some(&now) {
                self.take(now);
                has_news = true;
            }
        }
        if has_news {
            self.show();
        }
        has_news
    }

    fn list(&mut self) -> Option<HashMap<PathBuf, Option<Stamp>>> {
        let list = match self.files.list() {
            Ok(list) => list,
            Err(fault) => {
                let why = fault.to_string();
                if self.trouble.as_ref() != Some(&why) {
                    reload::stays(&[fault]);
                }
                self.trouble = Some(why);
                return None;
            }
        };
        self.trouble = None;
        let stamped = list.into_iter().map(|file| {
            let stamp = Stamp::of(&file);
            (file, stamp)
        });
        Some(stamped.collect())
    }

    fn take(&mut self, now: HashMap<PathBuf, Option<Stamp>>) {
        let gone = self
            .sites
            .extract_if(.., |kept| !now.contains_key(&kept.site.settings.file));
        gone.for_each(|kept| ::log::info!("{} is no site any more", kept.site.settings.name()));
        let mut changed: Vec<_> = now
            .iter()
            .filter(|(file, stamp)| self.seen.get(*file) != Some(*stamp))
            .map(|(file, _)| file.clone())
            .collect();
        let again = self.refused.drain(..).map(|refused| refused.file);
        changed.extend(again.filter(|file| now.contains_key(file)));
        changed.sort();
        changed.dedup();
        let mut settings = Vec::new();
        for file in changed {
            let stamp = Stamp::of(&file);
            match self.files.read(&file) {
                Ok(read) if self.is_known(&read) => {}
                Ok(read) => settings.push((stamp, read)),
                Err(faults) => reload::stays(&faults),
            }
        }
        // Two may have changed a name between them, so that it is the names to be that count.
        let is_new = |file: &PathBuf| settings.iter().any(|(_, one)| one.file == *file);
        let stay = self.sites.iter().map(|kept| &kept.site.settings);
        let mut names: Vec<_> = stay
            .filter(|own| !is_new(&own.file))
            .flat_map(SiteSettings::names)
            .map(str::to_owned)
            .collect();
        for (stamp, settings) in settings {
            let faults = sites::doubles_of(&settings, &names);
            names.extend(settings.names().map(str::to_owned));
            self.make(stamp, settings, faults);
        }
        self.seen = now;
    }

    /// Whether there is a site of these very settings.
    fn is_known(&self, settings: &SiteSettings) -> bool {
        let same = self
            .sites
            .iter()
            .find(|kept| kept.site.settings.file == settings.file);
        same.is_some_and(|kept| kept.site.settings.text == settings.text)
    }

    /// Makes a site, and takes it in the place of what there was of its file. `faults` are known already.
    fn make(&mut self, stamp: Option<Stamp>, settings: SiteSettings, faults: Vec<Fault>) {
        let file = settings.file.clone();
        let named = reload::files_of(&settings.settings);
        let seen = reload::stamps(&named);
        let mut found = Found {
            faults,
            ..Found::default()
        };
        let (shared, certificates) = (&self.shared, &self.certificates);
        let made = Guarded::new(
            settings,
            stamp,
            shared,
            certificates,
            Writing::Allowed,
            &mut found,
        );
        let (Some(site), true) = (made, found.faults.is_empty()) else {
            reload::stays(&found.faults);
            self.refused.push(Refused { file, named, seen });
            return;
        };
        found
            .warnings
            .iter()
            .for_each(|warning| ::log::warn!("{warning}"));
        found.words.iter().for_each(|word| ::log::info!("{word}"));
        authority::probe_later(&site.settings.settings, &site.site);
        maintenance::watch(&site.site);
        ::log::info!("{} is as {} says", site.settings.name(), Quoted(&file));
        metrics::reload(Reload::Good);
        let kept = Kept::new(site, certificates);
        let place = self
            .sites
            .iter_mut()
            .find(|kept| kept.site.settings.file == file);
        match place {
            Some(place) => *place = kept,
            None => self.sites.push(kept),
        }
    }

    /// Has everybody see what there is now.
    fn show(&self) {
        let sites = || self.sites.iter().map(|kept| &kept.site);
        sites::show(sites(), &self.certificates);
        self.service.sites.replace(sites::named(sites()));
        if let Some((wanted, main)) = &self.wanted {
            let of_sites = sites().filter_map(|site| site.settings.settings.acme.as_ref());
            let all: Vec<_> = main.iter().chain(of_sites).collect();
            *wanted.lock().even_if_poisoned() = sites::names(&all);
        }
    }
}

impl Kept {
    fn new(mut site: Guarded, certificates: &Arc<Certificates>) -> Kept {
        let settings = &site.settings.settings;
        let before = site.before.take();
        let mut watched = Vec::new();
        if let Some(before) = before {
            let own = Arc::clone(&site.pairs);
            let take = move |pairs| *own.lock().even_if_poisoned() = pairs;
            watched.extend(reload::of_pairs(settings, &before, take));
            watched.extend(reload::of_site(settings, before, &site.site, certificates));
        }
        Kept { site, watched }
    }
}

/// The certificates of a site, which may be read anew.
pub type OwnPairs = Arc<Mutex<Vec<crate::tls::Pair>>>;
