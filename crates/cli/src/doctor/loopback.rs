//! Loopback: whether the holders of keys can make the server call programs there.

use meetbot_orchestrator::Config;

use super::Finding;

const LOOPBACK: &str = "loopback";

/// Looks at the settings, and at the number of live keys where these open it.
pub(super) fn look(config: &Config, live_keys: &Result<usize, String>) -> Finding {
    let settings = config.open_loopback();
    if settings.is_empty() {
        return Finding::ok(LOOPBACK, "webhooks and meetings do not lead to this machine");
    }
    match live_keys {
        Ok(live) => judge(&settings.join(", "), *live),
        Err(error) => {
            let found =
                format!("open by {}; live keys cannot be counted: {error}", settings.join(", "));
            Finding::warn(LOOPBACK, found, "look at the database first")
        }
    }
}

fn judge(settings: &str, live: usize) -> Finding {
    match live {
        0 => Finding::ok(LOOPBACK, format!("open by {settings}, and there are no live keys")),
        _ => Finding::warn(
            LOOPBACK,
            format!(
                "open by {settings}: webhooks and meetings of {live} live keys may lead to programs of this machine"
            ),
            "leave out --dev (server.development) and loopback in allow_networks where others have keys",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn open_loopback_warns_beside_live_keys() {
        assert_eq!(judge("server.development", 0).state, State::Ok);
        assert_eq!(judge("server.development", 1).state, State::Warn);
    }
}
