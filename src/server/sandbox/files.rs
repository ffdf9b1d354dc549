//! Files and ports out of reach, by Landlock: the only room that names `landlock`.
//!
//! Owns which rights of the kernel make up what a place is needed for. What the kernel does not know of them is named.

use std::path::Path;
use std::sync::OnceLock;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CreateRulesetError, LandlockStatus, NetPort,
    PathBeneath, PathFd, RestrictSelfError, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope, make_bitflags,
};
use rustix::fs::{FileType, fstat};

use super::places::{Places, Use};
use crate::files;
use crate::log::reason;

/// The newest version whose rights of files are asked for: what comes with later ones could not be tried yet, and a right that is
/// asked for is taken from all that no rule names.
const NEWEST: ABI = ABI::V5;
/// From which version on what is limited.
const KNOWN_SINCE: [(ABI, &str); 4] = [
    (ABI::V3, "cutting files off"),
    (ABI::V4, "TCP ports"),
    (ABI::V5, "control of devices"),
    (ABI::V6, "signals and abstract sockets"),
];
/// What the kernel says of the process. The directory is another one, and without its rule, once memory is short, unless it is
/// held.
const OWN: &str = "/proc/self";

/// Takes all but these places from this thread and those that it starts. What the kernel cannot take is returned, in words.
///
/// # Errors
/// Why the system takes nothing.
pub fn confine(places: &Places) -> Result<Vec<&'static str>, String> {
    let rules = ruleset(places).map_err(|error| why(&error))?;
    let status = rules.restrict_self().map_err(|error| why(&error))?;
    let abi = match status.landlock {
        LandlockStatus::NotEnabled => return Err("this kernel has it switched off".to_owned()),
        LandlockStatus::NotImplemented => return Err("this kernel does not know it".to_owned()),
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
    };
    files::confined();
    let unknown = KNOWN_SINCE.into_iter().filter(|(since, _)| abi < *since);
    Ok(unknown.map(|(_, what)| what).collect())
}

/// What the kernel said. The crate's own words would bring the names of all rights with them.
fn why(error: &RulesetError) -> String {
    match error {
        RulesetError::CreateRuleset(CreateRulesetError::CreateRulesetCall { source, .. })
        | RulesetError::RestrictSelf(
            RestrictSelfError::RestrictSelfCall { source, .. }
            | RestrictSelfError::SetNoNewPrivsCall { source, .. },
        ) => reason(source),
        _ => "the rules are not as this kernel wants them".to_owned(),
    }
}

fn ruleset(places: &Places) -> Result<RulesetCreated, RulesetError> {
    /// Whatever becomes of the process.
    static HELD: OnceLock<PathFd> = OnceLock::new();
    let ports = match places.ports {
        Some(_) => AccessNet::BindTcp | AccessNet::ConnectTcp,
        None => AccessNet::BindTcp.into(),
    };
    let scopes = match places.has_abstract_sockets {
        true => Scope::Signal.into(),
        false => Scope::Signal | Scope::AbstractUnixSocket,
    };
    let mut wanted = Ruleset::default();
    RulesetAttr::handle_access(&mut wanted, AccessFs::from_all(NEWEST))?;
    RulesetAttr::handle_access(&mut wanted, ports)?;
    RulesetAttr::scope(&mut wanted, scopes)?;
    let mut rules = wanted.create()?;
    for port in places.ports.iter().flatten() {
        RulesetCreatedAttr::add_rule(&mut rules, NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    for place in &places.files {
        allow(&mut rules, &place.path, rights(place.purpose));
    }
    if let Some(own) = allow(&mut rules, Path::new(OWN), rights(Use::Read)) {
        let _ = HELD.set(own);
    }
    Ok(rules)
}

/// What is not there cannot be allowed, and neither can pipes and the like, which need no rule.
fn allow(rules: &mut RulesetCreated, path: &Path, rights: BitFlags<AccessFs>) -> Option<PathFd> {
    let fd = PathFd::new(path).ok()?;
    let kind = FileType::from_raw_mode(fstat(&fd).ok()?.st_mode);
    let rights = match kind {
        FileType::Directory => rights,
        _ => rights & AccessFs::from_file(NEWEST),
    };
    let _ = rules.add_rule(PathBeneath::new(&fd, rights));
    Some(fd)
}

fn rights(purpose: Use) -> BitFlags<AccessFs> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    match purpose {
        Use::Read => read,
        Use::Keep => {
            read | make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | RemoveFile | MakeDir | RemoveDir})
        }
        Use::Remove => AccessFs::RemoveFile.into(),
    }
}
