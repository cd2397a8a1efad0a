//! Who may ask: the host must be ours, and pages of other sites may not change anything.
//!
//! A browser will send a request for anybody's page, to any address. So a service without keys on a
//! loopback address answers only requests for a loopback name (a page that points its own name at
//! 127.0.0.1 is turned away), and a request that a foreign page makes may neither post nor consume.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;
use actix_web::http::Version;
use actix_web::http::header::{self, HeaderMap, HeaderName};

use super::error::{Kind, Problem};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

const PURPOSE: HeaderName = HeaderName::from_static("purpose");

const X_MOZ: HeaderName = HeaderName::from_static("x-moz");

/// Whether the request's `Host` is a loopback name or address.
///
/// # Errors
/// [`Problem`] 421 when it is another, or absent where HTTP demands it.
pub fn check_host(request: &HttpRequest) -> Result<(), Problem> {
    let host = request
        .headers()
        .get(header::HOST)
        .map(|host| host.to_str().unwrap_or_default());
    let is_ours = host.map_or(request.version() <= Version::HTTP_10, is_loopback);
    if is_ours {
        return Ok(());
    }
    let detail =
        "Host must be localhost or a loopback address: this service is open to this machine alone";
    Err(Problem::new(Kind::Misdirected, detail))
}

/// Whether the request may change anything, as far as its origin goes.
///
/// # Errors
/// [`Problem`] 403 when a page of another site sent it.
pub fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let is_foreign_site = headers
        .get(&SEC_FETCH_SITE)
        .is_some_and(|site| matches!(site.as_bytes(), b"cross-site" | b"same-site"));
    let is_foreign_origin = headers.get(header::ORIGIN).is_some_and(|origin| {
        let own = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let origin = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"));
        !matches!((origin, own), (Some((_, origin)), Some(own)) if origin.eq_ignore_ascii_case(own))
    });
    if is_foreign_site || is_foreign_origin {
        let detail = "a page of another site may not post or read; send the request from this service's own page or without a browser";
        return Err(Problem::new(Kind::CrossSite, detail));
    }
    Ok(())
}

/// Whether the request only prepares for one that may come (a browser's prefetch).
pub fn is_prefetch(headers: &HeaderMap) -> bool {
    [SEC_PURPOSE, PURPOSE, X_MOZ]
        .iter()
        .filter_map(|name| headers.get(name))
        .any(|purpose| {
            purpose
                .to_str()
                .is_ok_and(|purpose| purpose.to_ascii_lowercase().contains("prefetch"))
        })
}

fn is_loopback(host: &str) -> bool {
    if matches!(host.as_bytes(), [b'1', b'2', b'7', b'.', ..])
        && host
            .split(':')
            .next()
            .is_some_and(|address| address.parse::<Ipv4Addr>().is_ok())
    {
        return is_port(host.split_once(':').map(|(_, port)| port));
    }
    if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_loopback = address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
        let is_ours_to_the_end = match port.strip_prefix(':') {
            Some(port) => is_port(Some(port)),
            None => port.is_empty(),
        };
        return is_loopback && is_ours_to_the_end;
    }
    let (name, port) = host
        .split_once(':')
        .map_or((host, None), |(name, port)| (name, Some(port)));
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    (name == "localhost" || name.ends_with(".localhost")) && is_port(port)
}

fn is_port(port: Option<&str>) -> bool {
    port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn loopback_names_and_addresses_are_ours() {
        for host in [
            "localhost",
            "LocalHost:80",
            "localhost.",
            "a.localhost:1",
            "127.0.0.1",
            "127.9.9.9:8080",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_loopback(host), "{host}");
        }
    }

    #[test]
    fn every_other_host_is_not() {
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "127.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "[::2]",
            "[::1",
            "[::1]x",
            "localhost:x",
            "127.0.0.1:80:80",
            "xlocalhost",
            "1270.0.0.1",
            "127.0.0.1@evil",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn requests_of_foreign_pages_are_refused() {
        let check = |headers: &[(&'static str, &'static str)]| {
            let mut request = TestRequest::default().insert_header(("host", "localhost:8080"));
            for header in headers {
                request = request.insert_header(*header);
            }
            check_origin(request.to_http_request().headers()).is_ok()
        };
        assert!(check(&[]));
        assert!(check(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://localhost:8080")
        ]));
        assert!(check(&[("sec-fetch-site", "none")]));
        assert!(!check(&[("sec-fetch-site", "cross-site")]));
        assert!(!check(&[("sec-fetch-site", "same-site")]));
        assert!(!check(&[("origin", "http://localhost:3000")]));
        assert!(!check(&[("origin", "null")]));
        assert!(!check(&[("origin", "http://evil.example")]));
    }
}
