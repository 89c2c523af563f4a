//! Selects the proxy of a request: the configured one, or one of the environment. Pure.
//!
//! A proxy that was asked for is used or is an error that names it; no request ever goes past it.

use std::{env, ffi::OsString};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use url::{Position, Url};

use crate::no_proxy::{NoProxy, is_loopback};

/// Why a proxy cannot be used, to follow what names it. It shows nothing of its URL, which may hold a password.
type Unusable = &'static str;

/// A proxy of HTTP: where it is, and the password that it wants.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Without a user name or a password.
    pub(crate) uri: Uri,
    /// The value of `Proxy-Authorization`.
    pub(crate) password: Option<HeaderValue>,
}

impl Proxy {
    /// Reads `http://user:password@host:port`, with `http://` where it names no scheme.
    ///
    /// White space at its ends is passed over, and the characters of the password may be percent-encoded or not, as curl takes them. The user's
    /// part ends at the last `@` (WHATWG URL, authority state).
    pub(crate) fn parse(text: &str) -> Result<Self, Unusable> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty");
        }
        // The parser of URLs would leave them out.
        if text.chars().any(char::is_control) {
            return Err("holds a line break or another control character");
        }
        let url = match text.split_once("://") {
            None => Url::parse(&format!("http://{text}")),
            Some((scheme, _)) => match scheme.to_ascii_lowercase().as_str() {
                "http" | "https" => Url::parse(text),
                "socks" | "socks4" | "socks4a" | "socks5" | "socks5h" => {
                    return Err(
                        "is one of SOCKS, which is not supported: give one of http:// or https://",
                    );
                }
                _ => return Err("is not one of http:// or https://"),
            },
        };
        let encode = "cannot be read: it is like http://user:password@host:port, and a `/`, `?`, `#` or `\\` of the password is \
                      written percent-encoded (%2F, %3F, %23, %5C)";
        let url = url.map_err(|_| encode)?;
        // What follows the host has no meaning, but an `@` there says that the host ended too early.
        if url[Position::BeforePath..].contains('@') {
            return Err(encode);
        }
        let uri = Uri::builder()
            .scheme(url.scheme())
            .authority(&url[Position::BeforeHost..Position::AfterPort])
            .path_and_query("/")
            .build()
            .map_err(|_| encode)?;
        Ok(Self { uri, password: password(&url) })
    }
}

fn password(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut plain: Vec<u8> = percent_decode_str(url.username()).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(url.password().unwrap_or_default()));
    let header = format!("Basic {}", STANDARD.encode(plain));
    let mut header = HeaderValue::from_str(&header).expect("base64 can be sent");
    header.set_sensitive(true);
    Some(header)
}

/// The proxies of a client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    /// For servers of `http://` and of `https://`: the proxy, or why the requested one cannot be used.
    http: Option<Result<Proxy, String>>,
    https: Option<Result<Proxy, String>>,
    except: NoProxy,
    /// Whether servers on loopback are reached through them too: another machine has another loopback.
    loopback: bool,
}

impl Proxies {
    /// This one for every server.
    pub(crate) fn of(proxy: Proxy) -> Self {
        let proxy = Some(Ok(proxy));
        Self { http: proxy.clone(), https: proxy, except: NoProxy::default(), loopback: true }
    }

    /// Those of this process's environment.
    pub(crate) fn of_environment() -> Self {
        Self::of_variables(|name| env::var_os(name))
    }

    /// Those that `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` name, or else the same in capitals (curl and Python look in this
    /// order). A blank one says nothing, and none is for servers on loopback (as Go has it).
    fn of_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let said = |name: &str| {
            variable(name).filter(|value| value.to_str().is_none_or(|text| !text.trim().is_empty()))
        };
        let named = |names: &[&str]| {
            let (name, value) = names.iter().find_map(|name| Some((*name, said(name)?)))?;
            let read = value.to_str().ok_or("is not UTF-8").and_then(Proxy::parse);
            Some(read.map_err(|why| format!("the proxy of the environment variable {name} {why}")))
        };
        // Where a caller's header `Proxy` becomes HTTP_PROXY, it is not the environment's (https://httpoxy.org).
        let http: &[&str] = if variable("REQUEST_METHOD").is_some() {
            if said("HTTP_PROXY").is_some() && said("http_proxy").is_none() {
                tracing::warn!(
                    "HTTP_PROXY may be a caller's in a CGI program and is not used: set http_proxy"
                );
            }
            &["http_proxy", "all_proxy", "ALL_PROXY"]
        } else {
            &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        };
        let except = said("no_proxy").or_else(|| said("NO_PROXY")).unwrap_or_default();
        Self {
            http: named(http),
            https: named(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            except: NoProxy::parse(&except.to_string_lossy()),
            loopback: false,
        }
    }

    /// The proxy for this server, if any; an error if the requested one cannot be used.
    pub(crate) fn before(
        &self,
        scheme: &str,
        host: &str,
        port: u16,
    ) -> Result<Option<&Proxy>, &str> {
        let asked_for = if scheme == "https" { &self.https } else { &self.http };
        let direct = !self.loopback && is_loopback(host) || self.except.excepts(host, port);
        match asked_for {
            Some(proxy) if !direct => proxy.as_ref().map(Some).map_err(String::as_str),
            _ => Ok(None),
        }
    }

    /// [`before`](Self::before), for a URL of `http://` or `https://`.
    pub(crate) fn before_url(&self, server: &Url) -> Result<Option<&Proxy>, &str> {
        let port = server.port_or_known_default().unwrap_or_default();
        self.before(server.scheme(), server.host_str().unwrap_or_default(), port)
    }

    /// [`before`](Self::before), for a URI of `http://` or `https://`.
    pub(crate) fn before_uri(&self, server: &Uri) -> Result<Option<&Proxy>, &str> {
        let scheme = server.scheme_str().unwrap_or_default();
        let default = if scheme == "https" { 443 } else { 80 };
        let port = server.port_u16().unwrap_or(default);
        self.before(scheme, server.host().unwrap_or_default(), port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(plain: &str) -> String {
        format!("Basic {}", STANDARD.encode(plain))
    }

    #[test]
    fn a_proxy_is_parsed_in_its_usual_spellings() {
        for (text, uri, plain) in [
            ("http://127.0.0.1:3128", "http://127.0.0.1:3128/", None),
            ("http://127.0.0.1:3128\n", "http://127.0.0.1:3128/", None),
            ("\t http://127.0.0.1:3128/ \r\n", "http://127.0.0.1:3128/", None),
            ("127.0.0.1:3128", "http://127.0.0.1:3128/", None),
            ("proxy:3128", "http://proxy:3128/", None),
            ("proxy", "http://proxy/", None),
            ("HTTP://Proxy.Example:3128", "http://proxy.example:3128/", None),
            ("https://proxy.example", "https://proxy.example/", None),
            ("https://proxy.example:8443/some.pac", "https://proxy.example:8443/", None),
            ("http://[::1]:3128", "http://[::1]:3128/", None),
            ("me:s3cret@[::1]:3128", "http://[::1]:3128/", Some("me:s3cret")),
            ("http://bücher.example", "http://xn--bcher-kva.example/", None),
            ("http://me@p:1", "http://p:1/", Some("me:")),
            ("http://:s3cret@p:1", "http://p:1/", Some(":s3cret")),
            ("http://@p:1", "http://p:1/", None),
            ("http://me:p@ss@p:1", "http://p:1/", Some("me:p@ss")),
            ("me:p@ss@p:1", "http://p:1/", Some("me:p@ss")),
            ("http://me:a:b@p:1", "http://p:1/", Some("me:a:b")),
            ("http://me:p%40%2f%23@p:1", "http://p:1/", Some("me:p@/#")),
            ("http://me:100%@p:1", "http://p:1/", Some("me:100%")),
            ("http://me:%zz%4@p:1", "http://p:1/", Some("me:%zz%4")),
        ] {
            let proxy = Proxy::parse(text).unwrap_or_else(|why| panic!("{text:?} {why}"));
            let password = proxy.password.map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(proxy.uri.to_string(), uri, "{text:?}");
            assert_eq!(password, plain.map(basic), "{text:?}");
        }
        for letter in "|ä ^\"{}[]<>`'!$&()*+,;=~€🎤".chars() {
            let proxy = Proxy::parse(&format!("http://user:a{letter}b@127.0.0.1:3128"));
            let password = proxy.unwrap().password.unwrap();
            assert_eq!(password.to_str().unwrap(), basic(&format!("user:a{letter}b")));
        }
    }

    #[test]
    fn an_invalid_proxy_is_an_error_that_does_not_show_it() {
        for (text, why) in [
            ("", "empty"),
            (" \n", "empty"),
            ("socks5://me:s3cret@127.0.0.1:1080", "SOCKS"),
            ("SOCKS5H://127.0.0.1:1080", "SOCKS"),
            ("ftp://s3cret", "http:// or https://"),
            ("s3cret://me@127.0.0.1", "http:// or https://"),
            ("http://me:s3c\nret@127.0.0.1:3128", "control character"),
            ("http://127.0.0.1:\t3128", "control character"),
            ("http://me:s3cret#w@127.0.0.1:3128", "percent-encoded"),
            // The host would be `me`, on port 1.
            ("http://me:1#s3cret@127.0.0.1:3128", "percent-encoded"),
            ("http://me:1/s3cret@127.0.0.1:3128", "percent-encoded"),
            ("http://me:1?s3cret@127.0.0.1:3128", "percent-encoded"),
            ("http://me:1\\s3cret@127.0.0.1:3128", "percent-encoded"),
            ("http://", "cannot be read"),
            ("http://:3128", "cannot be read"),
            ("not a url:s3cret", "cannot be read"),
            ("http://127.0.0.1:s3cret", "cannot be read"),
            ("http://127.0.0.1:99999", "cannot be read"),
            ("::1:3128", "cannot be read"),
            ("http:s3cret", "cannot be read"),
        ] {
            let error = Proxy::parse(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("s3cret"), "{text:?} {error}");
        }
    }

    fn of(variables: &[(&str, &str)]) -> Proxies {
        Proxies::of_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    /// The host of the proxy on the way, or the error.
    fn way(variables: &[(&str, &str)], server: &str) -> Option<String> {
        let proxies = of(variables);
        match proxies.before_url(&Url::parse(server).unwrap()) {
            Ok(proxy) => proxy.map(|proxy| proxy.uri.host().unwrap().to_owned()),
            Err(error) => Some(error.to_owned()),
        }
    }

    #[test]
    fn the_variables_of_the_environment_are_read_in_the_order_of_curl_and_python() {
        let (http, https) = ("http://s.example", "https://s.example");
        for (variables, to_http, to_https) in [
            (&[][..], None, None),
            (&[("HTTP_PROXY", "a")][..], Some("a"), None),
            (&[("HTTPS_PROXY", "a")], None, Some("a")),
            (&[("ALL_PROXY", "a"), ("https_proxy", "b")], Some("a"), Some("b")),
            (&[("HTTP_PROXY", "a"), ("http_proxy", "b")], Some("b"), None),
            (&[("HTTP_PROXY", "a"), ("http_proxy", " ")], Some("a"), None),
            (&[("HTTP_PROXY", "\n")], None, None),
            (&[("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")], None, None),
            (&[("http_proxy", "a"), ("REQUEST_METHOD", "GET")], Some("a"), None),
            (
                &[("ALL_PROXY", "a"), ("HTTP_PROXY", "b"), ("REQUEST_METHOD", "")],
                Some("a"),
                Some("a"),
            ),
            (&[("ALL_PROXY", "a"), ("NO_PROXY", "s.example")], None, None),
            (
                &[("ALL_PROXY", "a"), ("NO_PROXY", "s.example"), ("no_proxy", "x")],
                Some("a"),
                Some("a"),
            ),
            (&[("ALL_PROXY", "a"), ("NO_PROXY", "s.example:443")], Some("a"), None),
        ] {
            assert_eq!(way(variables, http).as_deref(), to_http, "{variables:?}");
            assert_eq!(way(variables, https).as_deref(), to_https, "{variables:?}");
        }
    }

    #[test]
    fn no_proxy_of_the_environment_is_for_servers_on_loopback() {
        let variables = [("HTTP_PROXY", "a"), ("HTTPS_PROXY", "socks5://a"), ("ALL_PROXY", "a")];
        for server in [
            "http://127.0.0.1:3010",
            "https://127.8.0.1",
            "http://[::1]:3010",
            "http://localhost:3010",
            "https://a.localhost",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert_eq!(way(&variables, server), None, "{server}");
        }
        assert_eq!(way(&variables, "http://128.0.0.1").as_deref(), Some("a"));
        // One that was set for this client is for all that it asks.
        let set = Proxies::of(Proxy::parse("a").unwrap());
        assert!(set.before("http", "127.0.0.1", 80).unwrap().is_some());
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_an_error_only_where_it_would_be_used() {
        let variables = [("HTTPS_PROXY", "socks5://me:s3cret@127.0.0.1:1080")];
        let error = way(&variables, "https://s.example").unwrap();
        assert!(error.contains("HTTPS_PROXY") && !error.contains("s3cret"), "{error}");
        assert_eq!(way(&variables, "http://s.example"), None);
        let excepted = [variables[0], ("no_proxy", "s.example")];
        assert_eq!(way(&excepted, "https://s.example"), None);
        assert!(!format!("{:?}", of(&variables)).contains("s3cret"));
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_text_is_an_error() {
        use std::os::unix::ffi::OsStringExt as _;
        let proxies = Proxies::of_variables(|name| {
            (name == "HTTP_PROXY").then(|| OsString::from_vec(b"http://\xff:1".to_vec()))
        });
        let error = proxies.before("http", "s.example", 80).unwrap_err();
        assert!(error.contains("HTTP_PROXY"), "{error}");
    }
}
