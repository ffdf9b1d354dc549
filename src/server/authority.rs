//! What is asked of others before serving: from the settings of the external API to what asks it, the question whether it
//! lets anybody in, and of a backend whether it wants a password of its own.

use crate::config::{BackendAuthorization, Fault, Settings};
use crate::connection::{ASKS_FOR_PASSWORD, Site};
use crate::gate::auth::api::{self, Api, ApiSettings, Probed};
use crate::relay::Relay;
use crate::tls;

/// Makes ready to ask the API, if one is named.
pub fn prepare(
    settings: &Settings,
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
        workers: settings.workers.unwrap_or(256),
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
    if !settings.auth_probe {
        return None;
    }
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
