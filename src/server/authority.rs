//! What is asked of others before serving: from the settings of the external API to what asks it, the question whether it
//! lets anybody in, and of a backend whether it wants a password of its own.

use std::sync::Arc;
use std::thread;

use crate::config::{AuthBackend, BackendAuthorization, Fault, Placed, Settings};
use crate::connection::{ASKS_FOR_PASSWORD, Site};
use crate::gate::auth::api::{self, Api, ApiSettings, Calls, Probed};
use crate::relay::Relay;
use crate::tls;

/// Makes ready to ask the API, if one is named.
pub fn prepare(
    settings: &Settings,
    calls: &Calls,
    faults: &mut Vec<Fault>,
    words: &mut Vec<String>,
) -> Option<Api> {
    let place = settings.auth_backend.as_ref()?;
    let roots = if place.value.tls {
        let ca = settings.auth_ca.as_ref();
        match tls::trust_anchors(ca.map(|ca| ca.value.as_path())) {
            Ok(roots) => roots,
            Err(reason) => {
                faults.push(match ca {
                    Some(ca) => ca.fault(reason),
                    None => place.fault(reason),
                });
                return None;
            }
        }
    } else {
        Vec::new()
    };
    let made = Api::new(ApiSettings {
        url: &place.value.url(),
        shown: place.value.to_string(),
        roots: &roots,
        timeout: settings.auth_timeout,
        cache: settings.auth_cache,
        calls: calls.clone(),
    });
    match made {
        Ok(api) => {
            words.push(format!("asking {}", place.value));
            Some(api)
        }
        Err(reason) => {
            faults.push(place.fault(reason));
            None
        }
    }
}

/// What was found out about the API when it was asked about a made-up credential.
pub enum Discovery {
    /// It lets anybody in.
    Fault(Fault),
    /// It could not be found out.
    Warning(String),
}

/// Asks the API of a site that has come, if it has one, and has the messages say what was found. In a thread of its own: it may
/// take its time, and others wait.
pub fn probe_later(settings: &Settings, site: &Arc<Site>) {
    let Some(place) = settings
        .auth_backend
        .clone()
        .filter(|_| settings.auth_probe)
    else {
        return;
    };
    let site = Arc::clone(site);
    let probe = move || say(found(&place, &site));
    if let Err(error) = thread::Builder::new().name("probe".into()).spawn(probe) {
        ::log::error!("an API is not tried: {error}");
    }
}

/// Has the messages say it.
pub fn say(discovery: Option<Discovery>) {
    match discovery {
        Some(Discovery::Fault(fault)) => ::log::error!("{fault}"),
        Some(Discovery::Warning(warning)) => ::log::warn!("{warning}"),
        None => {}
    }
}

/// Asks the API, if there is one and it is to be asked, about a made-up credential.
pub fn probe(settings: &Settings, site: &Site) -> Option<Discovery> {
    let place = settings.auth_backend.as_ref()?;
    settings.auth_probe.then(|| found(place, site)).flatten()
}

fn found(place: &Placed<AuthBackend>, site: &Site) -> Option<Discovery> {
    match site.gatekeeper.probe()? {
        Probed::Closed => None,
        Probed::Open => Some(Discovery::Fault(place.fault(api::OPEN))),
        Probed::Later => Some(Discovery::Warning(place.fault(api::LATER).to_string())),
        Probed::Odd(why) => Some(Discovery::Warning(place.fault(api::odd(&why)).to_string())),
        Probed::Silent(why) => {
            let warning = place.fault(api::could_not_ask(&why));
            Some(Discovery::Warning(warning.to_string()))
        }
    }
}

/// A warning for each backend that asks for a password that it never gets. Nothing is said of one that does not answer: it
/// may be started later.
pub fn password_asked(settings: &Settings, site: &Site) -> Vec<String> {
    if settings.backend_authorization != BackendAuthorization::Drop {
        return Vec::new();
    }
    let asking = site.relay().map(Relay::asking_for_password);
    let asking = asking.into_iter().flatten();
    asking
        .filter_map(|place| settings.backend.get(place))
        .map(|place| place.fault(ASKS_FOR_PASSWORD).to_string())
        .collect()
}
