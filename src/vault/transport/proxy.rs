//! Which requests go through a proxy: the rules of Go's `golang.org/x/net/http/httpproxy`, with which VSO reads
//! `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use ipnet::IpNet;
use reqwest::Url;

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    /// Where it is, without user and password.
    pub uri: Uri,
    /// `Proxy-Authorization`, for the user and password of its URL.
    pub authorization: Option<HeaderValue>,
}

/// The proxies of the environment, and what is not for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Vec<Exception>,
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug)]
enum Exception {
    Everything,
    Network(IpNet),
    Address {
        ip: IpAddr,
        port: Option<String>,
    },
    /// The domains that end in `suffix`, which begins with a dot, and with `apex` the domain that it names.
    Domain {
        suffix: String,
        apex: bool,
        port: Option<String>,
    },
}

impl Proxies {
    /// The proxies that the environment of the process names.
    pub fn from_environment() -> Self {
        let variable = |upper: &str, lower: &str| {
            let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            value(upper).or_else(|| value(lower)).unwrap_or_default()
        };
        Self::new(
            &variable("HTTP_PROXY", "http_proxy"),
            &variable("HTTPS_PROXY", "https_proxy"),
            &variable("NO_PROXY", "no_proxy"),
        )
    }

    /// The proxies that the values of the three variables name.
    pub fn new(http: &str, https: &str, no_proxy: &str) -> Self {
        let exceptions = no_proxy.split(',').filter_map(Exception::parse).collect();
        Self { http: Proxy::parse(http), https: Proxy::parse(https), exceptions }
    }

    /// The proxy that a request to `target` goes through.
    pub fn of(&self, target: &Uri) -> Option<&Proxy> {
        let (proxy, default_port) = match target.scheme_str() {
            Some("https") => (self.https.as_ref()?, "443"),
            _ => (self.http.as_ref()?, "80"),
        };
        let host = target.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let ip = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        if host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
            return None;
        }
        let port = target.port();
        let port = port.as_ref().map_or(default_port, |port| port.as_str());
        let excepted = self.exceptions.iter().any(|exception| exception.matches(&host, ip, port));
        if excepted { None } else { Some(proxy) }
    }
}

impl Proxy {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let mut url = Url::parse(text).ok().filter(|url| url.host_str().is_some_and(|host| !host.is_empty()));
        url = url.or_else(|| Url::parse(&format!("http://{text}")).ok());
        let mut url = url?;
        let authorization = authorization(&url);
        // These fail only for URLs without a host.
        let _ = (url.set_username(""), url.set_password(None));
        Some(Self { uri: url.as_str().parse().ok()?, authorization })
    }
}

fn authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let plain = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [plain(url.username()), b":".to_vec(), plain(url.password().unwrap_or_default())].concat();
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Ok(network) = entry.parse() {
            return Some(Self::Network(network));
        }
        let (host, port) = match host_and_port(&entry) {
            Some((host, port)) => (host, Some(port.to_owned())),
            None => (entry.as_str(), None),
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Self::Address { ip: ip.to_canonical(), port });
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        match host {
            "" => None,
            _ if host.starts_with('.') => Some(Self::Domain { suffix: host.to_owned(), apex: false, port }),
            _ => Some(Self::Domain { suffix: format!(".{host}"), apex: true, port }),
        }
    }

    fn matches(&self, host: &str, ip: Option<IpAddr>, port: &str) -> bool {
        let fits = |wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == port);
        match self {
            Self::Everything => true,
            Self::Network(network) => ip.is_some_and(|ip| network.contains(&ip)),
            Self::Address { ip: excepted, port } => ip == Some(*excepted) && fits(port),
            Self::Domain { suffix, apex, port } => {
                ip.is_none() && (host.ends_with(suffix.as_str()) || (*apex && host == &suffix[1..])) && fits(port)
            }
        }
    }
}

/// The parts of `name:port`, `ip:port` and `[ip]:port`.
fn host_and_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => Some((host, port)),
        None => (!host.contains([':', '[', ']'])).then_some((host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        let proxied = |no_proxy: &str, target: &str| {
            Proxies::new("http://p:1", "http://p:2", no_proxy).of(&target.parse().unwrap()).is_some()
        };
        for (no_proxy, target, expected) in [
            ("", "https://vault.example.com:8200", true),
            ("*", "https://vault.example.com:8200", false),
            ("other, * ,x", "http://10.1.2.3", false),
            ("vault.example.com", "https://vault.example.com", false),
            ("vault.example.com", "https://a.vault.example.com", false),
            ("vault.example.com", "https://myvault.example.com", true),
            ("VAULT.example.com", "https://vault.EXAMPLE.com", false),
            (" example.com ", "https://vault.example.com:8200", false),
            (".example.com", "https://vault.example.com:8200", false),
            (".example.com", "https://example.com", true),
            ("*.example.com", "https://vault.example.com", false),
            ("*.example.com", "https://example.com", true),
            ("*.example.com:8200", "https://vault.example.com:8200", false),
            ("*.example.com:8200", "https://vault.example.com", true),
            ("vault.example.com:8200", "https://vault.example.com:8200", false),
            ("vault.example.com:8200", "https://vault.example.com:8201", true),
            ("vault.example.com:443", "https://vault.example.com", false),
            ("vault.example.com:80", "http://vault.example.com", false),
            ("vault.example.com:80", "https://vault.example.com", true),
            ("10.1.2.3", "https://10.1.2.3:8200", false),
            ("10.1.2.3:8200", "https://10.1.2.3:8200", false),
            ("10.1.2.3:8200", "https://10.1.2.3", true),
            ("10.1.2.4", "https://10.1.2.3", true),
            ("10.0.0.0/8", "https://10.1.2.3", false),
            ("10.1.2.0/24", "https://10.1.3.3", true),
            ("10.0.0.0/8", "https://ten.example.com", true),
            ("fd00::/8", "https://[fd00::1]:8200", false),
            ("fd00::1", "https://[fd00::1]:8200", false),
            ("[fd00::1]:8200", "https://[fd00::1]:8200", false),
            ("[fd00::1]:8200", "https://[fd00::1]", true),
            ("::ffff:10.1.2.3", "https://10.1.2.3", false),
            ("2.3", "https://10.1.2.3", true),
            (":8200,,*.,.", "https://10.1.2.3:8200", true),
            ("", "https://localhost:8200", false),
            ("", "http://127.0.0.1:8200", false),
            ("", "http://127.9.9.9", false),
            ("", "https://[::1]:8200", false),
            ("", "https://localhost.example.com", true),
        ] {
            assert_eq!(proxied(no_proxy, target), expected, "NO_PROXY={no_proxy:?} {target}");
        }
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let of = |http: &str, https: &str, target: &str| {
            let proxies = Proxies::new(http, https, "");
            proxies.of(&target.parse().unwrap()).map(|proxy| proxy.uri.to_string())
        };
        assert_eq!(of("http://a:1", "", "https://v"), None);
        assert_eq!(of("", "http://a:1", "http://v"), None);
        assert_eq!(of("http://a:1", "http://b:2", "http://v").as_deref(), Some("http://a:1/"));
        assert_eq!(of("http://a:1", "b:2", "https://v").as_deref(), Some("http://b:2/"), "without a scheme");
        assert_eq!(of("", "proxy.example.com", "https://v").as_deref(), Some("http://proxy.example.com/"));
        assert_eq!(of("", "https://b", "https://v").as_deref(), Some("https://b/"));
    }

    #[test]
    fn user_and_password_go_into_a_header_and_not_into_the_address() {
        let proxy = Proxy::parse("http://us%40er:pa%3Ass@p:1").unwrap();
        assert_eq!(proxy.uri, "http://p:1/");
        assert_eq!(proxy.authorization.as_ref().unwrap(), &format!("Basic {}", STANDARD.encode("us@er:pa:ss")));
        assert!(!format!("{proxy:?}").contains("Basic"));
    }
}
