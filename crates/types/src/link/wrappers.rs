//! Links that stand inside other links: programs that check or count clicks put theirs around them, and products' own pages do too.

use base64::{Engine as _, alphabet, engine};
use serde_json::{Value, json};
use url::Url;

use super::{
    products::{is_teams, is_under},
    query,
};

/// Mail that was forwarded has wrappers around wrappers.
pub(super) const MOST: usize = 8;

/// What is inside a wrapper.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// A link.
    Link(String),
    /// A link that only the wrapper's service can resolve.
    Hidden,
}

struct Wrapper {
    hosts: Hosts,
    /// The beginning of the path.
    path: &'static str,
    holds: Holds,
}

enum Hosts {
    /// These, and what is under them.
    Under(&'static [&'static str]),
    /// Google in every country.
    Google,
    Teams,
    Any,
}

enum Holds {
    /// In the first of these parameters that is present.
    Parameter(&'static [&'static str]),
    /// The result of a function of the URL; `None` if it is not a wrapper.
    Found(fn(&Url) -> Option<String>),
    /// Behind a number of the wrapper's owner.
    Hidden,
}

use Holds::{Found, Hidden, Parameter};
use Hosts::{Any, Google, Teams, Under};

const fn row(hosts: Hosts, path: &'static str, holds: Holds) -> Wrapper {
    Wrapper { hosts, path, holds }
}

#[rustfmt::skip]
static WRAPPERS: &[Wrapper] = &[
    // Microsoft's Safe Links, in its clouds and in Teams.
    row(Under(&["safelinks.protection.outlook.com", "safelinks.protection.office365.us",
        "safelinks.protection.partner.outlook.cn"]), "/", Parameter(&["url"])),
    row(Under(&["teams.cdn.office.net", "teams.cdn.live.net", "statics.teams.microsoft.com"]),
        "/evergreen-assets/safelinks/", Parameter(&["url"])),
    // The address in a browser after a click on a link of Teams: the page that asks which program to open, or the web client.
    row(Teams, "/dl/launcher/", Found(teams_launcher)),
    row(Teams, "/", Found(teams_client)),
    row(Teams, "/light-meetings/", Found(teams_in_browser)),
    // Outlook in browsers, as it is and as it was.
    row(Under(&["outlook.office.com", "outlook.office365.com", "outlook.live.com", "outlook.cloud.microsoft"]),
        "/mail/", Parameter(&["url"])),
    row(Any, "/owa/redir.aspx", Parameter(&["URL", "url"])),
    // Defender for Cloud Apps puts its domain behind the product's.
    row(Under(&["mcas.ms"]), "/", Found(defender)),
    row(Under(&["safelink.emails.azure.net"]), "/redirect", Parameter(&["destination"])),
    row(Google, "/url", Parameter(&["q", "url"])),
    // Where one who is not signed in gets to.
    row(Under(&["accounts.google.com"]), "/", Parameter(&["continue"])),
    row(Under(&["meet.google.com"]), "/linkredirect", Parameter(&["dest"])),
    // Google Meet's short form, and its page of telephone numbers, which stands in every invitation.
    row(Under(&["g.co"]), "/meet/", Found(google_short)),
    row(Under(&["tel.meet"]), "/", Found(google_telephone)),
    // The same of Jitsi, on whosever server.
    row(Any, "/", Found(jitsi_telephone)),
    row(Under(&["urldefense.proofpoint.com", "urldefense.com", "urldefense.us"]), "/v1/", Parameter(&["u"])),
    row(Under(&["urldefense.proofpoint.com", "urldefense.com", "urldefense.us"]), "/v2/", Found(proofpoint_2)),
    row(Under(&["urldefense.proofpoint.com", "urldefense.com", "urldefense.us"]), "/v3/", Found(proofpoint_3)),
    row(Under(&["linkprotect.cudasvc.com"]), "/", Parameter(&["a"])),          // Barracuda
    row(Under(&["secure-web.cisco.com"]), "/", Found(second_segment)),
    // GMX, WEB.DE, mail.com and 1&1.
    row(Under(&["deref-gmx.net", "deref-gmx.com", "deref-gmx.co.uk", "deref-gmx.fr", "deref-web.de", "deref-web-02.de",
        "deref-mail.com", "deref-mail-02.com", "deref-1und1.de", "deref-1und1-02.de"]), "/", Parameter(&["redirectUrl"])),
    row(Under(&["vadesecure.com", "scanmail.trustwave.com", "protection.retarus.com"]), "/", Parameter(&["u"])),
    row(Under(&["clicktime.cloud.postoffice.net"]), "/", Parameter(&["U", "u"])),
    row(Under(&["linklock.titanhq.com"]), "/", Parameter(&["url"])),
    row(Under(&["linkscan.io"]), "/scan/ux/", Found(bitdefender)),
    row(Under(&["awstrack.me"]), "/L0/", Found(amazon)),
    row(Under(&["slack-redir.net"]), "/", Parameter(&["url"])),
    row(Under(&["trendmicro.com"]), "/wis/clicktime/", Parameter(&["url"])),
    row(Under(&["fireeye.com", "trellix.com"]), "/", Parameter(&["u"])),
    row(Under(&["clicktime.symantec.com"]), "/", Parameter(&["u", "url"])),
    row(Under(&["protection.sophos.com"]), "/", Found(sophos)),
    row(Under(&["url.avanan.click", "protect.checkpoint.com"]), "/v", Found(between_underscores)),
    row(Under(&["urlsand.esvalabs.com", "link.zixcentral.com", "link.edgepilot.com"]), "/", Parameter(&["u"])),
    row(Under(&["l.facebook.com", "lm.facebook.com", "l.messenger.com", "l.instagram.com", "l.workplace.com",
        "l.threads.com", "l.wl.co"]), "/", Parameter(&["u"])),
    row(Under(&["facebook.com"]), "/flx/warn/", Parameter(&["u"])),
    row(Under(&["vk.com", "vk.ru"]), "/away.php", Parameter(&["to"])),
    row(Under(&["linkedin.com"]), "/redir/", Parameter(&["url"])),
    row(Under(&["linkedin.com"]), "/safety/go", Parameter(&["url"])),
    row(Under(&["youtube.com"]), "/redirect", Parameter(&["q"])),
    row(Under(&["mimecast.com", "mimecastprotect.com", "mimecast-offshore.com", "emailprotection.link",
        "hornetsecurity.com", "mailanyone.net", "mailguard.com.au", "sendgrid.net", "list-manage.com", "mandrillapp.com",
        "hubspotlinks.com", "bit.ly", "tinyurl.com", "t.co", "lnkd.in", "aka.ms", "goo.gl", "ow.ly", "is.gd", "buff.ly",
        "rebrand.ly", "cutt.ly"]), "/", Hidden),
];

/// Whether links of a host are wrappers by its name alone.
pub(super) fn is_host(host: &str) -> bool {
    WRAPPERS.iter().any(|wrapper| match wrapper.hosts {
        Under(domains) => domains.iter().any(|domain| is_under(host, domain)),
        Google => is_google(host),
        Teams | Any => false,
    })
}

/// The URL inside a wrapper.
pub(super) fn unwrap(url: &Url) -> Option<Inside> {
    if let Some(link) = of_program(url) {
        return Some(Inside::Link(link));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let host = url.host_str()?.trim_end_matches('.');
    let fits = |wrapper: &&Wrapper| {
        let host_fits = match wrapper.hosts {
            Under(domains) => domains.iter().any(|domain| is_under(host, domain)),
            Google => is_google(host),
            Teams => is_teams(host),
            Any => true,
        };
        host_fits && url.path().starts_with(wrapper.path)
    };
    WRAPPERS.iter().filter(fits).find_map(|wrapper| match wrapper.holds {
        Parameter(names) => names.iter().find_map(|name| query(url, name)).map(Inside::Link),
        Found(find) => find(url).map(Inside::Link),
        Hidden => Some(Inside::Hidden),
    })
}

/// What browsers hand to the products' own programs.
fn of_program(url: &Url) -> Option<String> {
    let rest = url.as_str().strip_prefix(url.scheme())?.strip_prefix(':')?;
    match url.scheme() {
        "msteams" if rest.starts_with("//") => Some(format!("https:{rest}")),
        "msteams" => Some(format!("https://teams.microsoft.com/{}", rest.trim_start_matches('/'))),
        "org.jitsi.meet" => Some(format!("https:{rest}")),
        "zoommtg" | "zoomus" => {
            let id = query(url, "confno")?;
            let mut link = Url::parse(&format!("https://{}/", url.host_str()?)).ok()?;
            link.path_segments_mut().ok()?.extend(["j", &id]);
            if let Some(passcode) = query(url, "pwd") {
                link.query_pairs_mut().append_pair("pwd", &passcode);
            }
            Some(link.into())
        }
        _ => None,
    }
}

/// `google.com`, `www.google.de`, `google.co.uk`.
fn is_google(host: &str) -> bool {
    let name = host.strip_prefix("www.").unwrap_or(host);
    let Some(country) = name.strip_prefix("google.") else { return false };
    let country = country.strip_prefix("co.").or(country.strip_prefix("com.")).unwrap_or(country);
    !country.contains('.') && (2..=3).contains(&country.len())
}

/// The path and query of a Teams link, on the same host.
fn teams_launcher(url: &Url) -> Option<String> {
    let mut inside = query(url, "url")?;
    // It may be encoded more than once.
    for _ in 0..3 {
        if inside.starts_with('/') || inside.starts_with("https:") {
            break;
        }
        inside = super::decode(&inside);
    }
    url.join(&inside).ok().map(String::from)
}

/// The page of a meeting in a browser without an account: `coords` is JSON in base64, with the thread of the meeting or with its number and passcode.
fn teams_in_browser(url: &Url) -> Option<String> {
    let coords = from_base64(&query(url, "coords")?)?;
    let coords: Value = serde_json::from_str(&coords)
        .or_else(|_| serde_json::from_str(&super::decode(&coords)))
        .ok()?;
    let text = |name: &str| coords[name].as_str().filter(|text| !text.is_empty());
    let mut meeting = url.join("/").ok()?;
    if let Some(thread) = text("conversationId") {
        // Threads are of organisations; `teams.live.com` only shows their meetings.
        if url.host_str() == Some("teams.live.com") {
            meeting.set_host(Some("teams.microsoft.com")).ok()?;
        }
        let message = text("messageId").unwrap_or("0");
        meeting.path_segments_mut().ok()?.extend(["l", "meetup-join", thread, message]);
        if let (Some(tenant), Some(organizer)) = (text("tenantId"), text("organizerId")) {
            let context = json!({"Tid": tenant, "Oid": organizer}).to_string();
            meeting.query_pairs_mut().append_pair("context", &context);
        }
    } else {
        meeting.path_segments_mut().ok()?.extend(["meet", text("meetingCode")?]);
        if let Some(passcode) = text("passcode").map(str::to_owned).or_else(|| query(url, "p")) {
            meeting.query_pairs_mut().append_pair("p", &passcode);
        }
    }
    Some(meeting.into())
}

fn teams_client(url: &Url) -> Option<String> {
    let inside = url.fragment()?;
    let names_meeting = ["/l/", "/meet/", "/v2/meet/"].iter().any(|way| inside.starts_with(way));
    names_meeting.then(|| url.join(inside).ok().map(String::from))?
}

fn google_short(url: &Url) -> Option<String> {
    let name = url.path().strip_prefix("/meet/")?.trim_matches('/');
    let code = super::products::google_code(name);
    match (name, code) {
        ("", _) => None,
        (_, Some(code)) => Some(format!("https://meet.google.com/{code}")),
        (nickname, None) => Some(format!("https://meet.google.com/lookup/{nickname}")),
    }
}

fn google_telephone(url: &Url) -> Option<String> {
    let code = super::products::google_code(url.path().trim_matches('/'))?;
    Some(format!("https://meet.google.com/{code}"))
}

fn jitsi_telephone(url: &Url) -> Option<String> {
    let before = url.path().strip_suffix("static/dialInInfo.html")?.to_owned();
    let room = query(url, "room")?;
    let mut meeting = url.clone();
    meeting.set_fragment(None);
    meeting.set_query(None);
    meeting.set_path(&before);
    meeting.path_segments_mut().ok()?.pop_if_empty().push(&room);
    Some(meeting.into())
}

/// Proofpoint's second form: `-` for `%`, `_` for `/`.
fn proofpoint_2(url: &Url) -> Option<String> {
    Some(super::decode(&query(url, "u")?.replace('-', "%").replace('_', "/")))
}

/// Proofpoint's third form, `/v3/__<link>__;<characters>!…`: each `*` of the link stands for the next of the characters, which are in base64; `**` and a
/// letter for as many as the letter says (`A` is 2). By the decoder that Proofpoint publishes.
fn proofpoint_3(url: &Url) -> Option<String> {
    const RUNS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (_, rest) = url.as_str().split_once("/v3/__")?;
    let (link, rest) = rest.split_once("__;")?;
    let (characters, _) = rest.split_once('!')?;
    let characters = from_base64(&super::decode(characters))?;
    let mut characters = characters.chars();
    // What is still encoded here was encoded on the way: a `%` of the link itself has become a `*`.
    let link = super::decode(link);
    let mut letters = link.chars().peekable();
    let mut found = String::with_capacity(link.len());
    while let Some(letter) = letters.next() {
        if letter != '*' {
            found.push(letter);
        } else if letters.next_if_eq(&'*').is_some() {
            let run = RUNS.find(letters.next()?)? + 2;
            for _ in 0..run {
                found.push(characters.next()?);
            }
        } else {
            found.push(characters.next()?);
        }
    }
    // Programs that tidy paths have made one slash of two.
    let (scheme, rest) = found.split_once(":/")?;
    Some(format!("{scheme}://{}", rest.trim_start_matches('/')))
}

/// `/<number>/<link>`.
fn second_segment(url: &Url) -> Option<String> {
    let (_, link) = url.path().strip_prefix('/')?.split_once('/')?;
    let link = super::decode(link);
    link.contains("://").then(|| match url.query() {
        Some(query) if !link.contains('?') => format!("{link}?{query}"),
        _ => link,
    })
}

/// The host is the product's with `.mcas.ms` behind it, or a page says which URL is meant.
fn defender(url: &Url) -> Option<String> {
    if let Some(link) = query(url, "originalUrl") {
        return Some(link);
    }
    let mut link = url.clone();
    let host = url.host_str()?.trim_end_matches('.').strip_suffix(".mcas.ms")?;
    host.contains('.').then(|| link.set_host(Some(host)).ok().map(|()| link.into()))?
}

/// `/scan/ux/<link in base64>/…`.
fn bitdefender(url: &Url) -> Option<String> {
    from_base64(url.path().strip_prefix("/scan/ux/")?.split('/').next()?)
}

/// `/L0/<link>/1/…`.
fn amazon(url: &Url) -> Option<String> {
    url.path().strip_prefix("/L0/")?.split('/').next().map(super::decode)
}

fn sophos(url: &Url) -> Option<String> {
    from_base64(&query(url, "u")?)
}

/// `/v2/___<link>___.<signature>`. Where the way before it is longer (`/v2/r02/`), the link is in cipher.
fn between_underscores(url: &Url) -> Option<String> {
    let (_, rest) = url.as_str().split_once("/___")?;
    let (link, _) = rest.rsplit_once("___.")?;
    (link.starts_with("http://") || link.starts_with("https://")).then(|| link.to_owned())
}

/// Either alphabet of base64, whatever its padding.
fn from_base64(text: &str) -> Option<String> {
    let lax = engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let lax = engine::GeneralPurpose::new(&alphabet::URL_SAFE, lax);
    let text = text.trim_end_matches('=').replace([' ', '+'], "-").replace('/', "_");
    String::from_utf8(lax.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(url: &str) -> Option<String> {
        match unwrap(&Url::parse(url).unwrap())? {
            Inside::Link(link) => Some(link),
            Inside::Hidden => Some("hidden".to_owned()),
        }
    }

    #[test]
    fn proofpoints_third_form_is_read_as_its_own_decoder_reads_it() {
        for (wrapped, link) in [
            ("https://urldefense.com/v3/__https://x.example/a__;!!Ab!De$", "https://x.example/a"),
            // The example of the published decoder: `*` for `+`.
            (
                "https://urldefense.com/v3/__https://google.com:443/search?q=a*test&gs=ps__;Kw!-612Flbf0JvQ3kNJkRi5Jg!Ue6tQudNKaShHg93trcdjqDP8se2ySE65jyCIe2K1D_uNjZ1Lnf6YLQERujngZv9UWf66ujQIQ$",
                "https://google.com:443/search?q=a+test&gs=ps",
            ),
            (
                "https://urldefense.us/v3/__https:/x.example/19*3aa*40b__;JSU!!A!B$",
                "https://x.example/19%3aa%40b",
            ),
            (
                "https://urldefense.com/v3/__https://x.example/**B__;JSUl!!A!B$",
                "https://x.example/%%%",
            ),
            (
                "https://urldefense.com/v3/__https://x.example/a?b=c*d__;Iw!!A$",
                "https://x.example/a?b=c#d",
            ),
        ] {
            assert_eq!(inside(wrapped).as_deref(), Some(link), "{wrapped}");
        }
        for broken in [
            "https://urldefense.com/v3/__https://x.example/a*__;!!A!B$",
            "https://urldefense.com/v3/__https://x.example/a**~__;JSU!!A!B$",
            "https://urldefense.com/v3/__https://x.example/a",
        ] {
            assert_eq!(inside(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_page_of_the_same_host_is_no_wrapper() {
        for page in [
            "https://www.google.com/search?q=https://zoom.us",
            "https://google.evil.example/url?q=https://zoom.us",
            "https://teams.microsoft.com/_#/calendarv2",
            "https://meet.jit.si/static/dialInInfo.html",
            "https://secure-web.cisco.com/1a",
            "https://protect.checkpoint.com/v2/r02/___myyux://x___.abc",
        ] {
            assert_eq!(inside(page), None, "{page}");
        }
        assert_eq!(inside("https://protect-us.mimecast.com/s/1?domain=zoom.us").unwrap(), "hidden");
    }
}
