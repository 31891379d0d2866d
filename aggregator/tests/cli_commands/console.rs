//! The console as a browser, and whoever pretends to be one, meets it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use headwater_protocol::identity::Lane;
use headwater_protocol::record::SourceInfo;

use crate::configuration;
use crate::device::{Device, file, line, stream, tick};
use crate::process::{DEADLINE, Service};
use crate::serving::{ask, json, serve, start};

#[test]
fn without_a_session_every_page_leads_to_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let _served = serve(folder.path());
    let link = Link::ask(folder.path());
    for page in ["/", "/devices", "/devices/x", "/nowhere"] {
        let answer = link.get(page, &[("accept", "text/html")]);
        assert_eq!(answer.status, 303, "{page}");
        assert!(["/login", "/devices"].contains(&answer.header("location")), "{page}");
        assert!(!answer.body.contains("data-device"), "{page}");
    }
    for script in ["/live", "/devices/x/chart"] {
        assert_eq!(link.get(script, &[]).status, 401, "{script}");
    }
    let door = link.get("/login", &[]);
    assert_eq!(door.status, 200);
    assert!(door.body.contains("headwater console"), "{}", door.body);
    secured(&door);
}

#[test]
fn a_link_opens_one_session_which_outlives_a_kill_and_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    let link = Link::ask(folder.path());
    let entered = link.get(&link.path, &[]);
    assert_eq!((entered.status, entered.header("location")), (303, "/devices"));
    let cookie = entered.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let again = link.get(&link.path, &[]);
    assert_eq!((again.status, again.header("location")), (303, "/login?used=1"));
    assert_eq!(again.header("set-cookie"), "");
    let session = cookie.split(';').next().unwrap().to_owned();
    let page = link.get("/devices", &[("cookie", &session)]);
    assert_eq!(page.status, 200);
    secured(&page);
    served.kill();
    // The kernel picks another port, and the cookie's name carries the port.
    let _served = start(folder.path());
    let after = Link::ask(folder.path());
    let value = session.split_once('=').unwrap().1;
    let session = format!("headwater_{}={value}", after.port());
    let page = after.get("/devices", &[("cookie", &session)]);
    assert_eq!(page.status, 200, "the session is known after a restart");
    let form = format!("token={}", page.token());
    let ended = after.post("/logout", &form, &[("cookie", &session)]);
    assert_eq!((ended.status, ended.header("location")), (303, "/login"));
    assert_eq!(after.get("/devices", &[("cookie", &session)]).status, 303);
}

#[test]
fn names_of_other_hosts_and_changes_from_elsewhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _served = serve(folder.path());
    let (link, session) = entered(folder.path());
    let cookie = ("cookie", session.as_str());
    let foreign = link.get("/devices", &[cookie, ("host", "evil.example")]);
    assert_eq!(foreign.status, 421, "DNS rebinding");
    let page = link.get("/devices", &[cookie]);
    let (good, mine) = (format!("theme=dark&token={}", page.token()), link.origin());
    let own = ("origin", mine.as_str());
    for (form, headers, why) in [
        ("theme=dark", vec![cookie, own], "no token"),
        ("theme=dark&token=x", vec![cookie, own], "another token"),
        (good.as_str(), vec![cookie, ("origin", "http://evil.example")], "another origin"),
        (good.as_str(), vec![cookie, ("sec-fetch-site", "cross-site")], "another site"),
    ] {
        let refused = link.post("/theme", form, &headers);
        assert_eq!((refused.status, refused.header("set-cookie")), (403, ""), "{why}");
    }
    assert_eq!(link.post("/theme", &good, &[own]).status, 401, "no session");
    let large = format!("token={}", "x".repeat(20 << 10));
    assert_eq!(link.post("/theme", &large, &[cookie, own]).status, 413);
    let chosen = link.post("/theme", &good, &[cookie, own]);
    assert_eq!(chosen.status, 303);
    assert!(chosen.header("set-cookie").starts_with("headwater_theme=dark;"));
    let dark = format!("{session}; headwater_theme=dark");
    let page = link.get("/devices", &[("cookie", &dark)]);
    assert!(page.body.contains("<html lang=\"en\" data-theme=\"dark\">"), "{}", page.body);
}

#[test]
fn what_strangers_wrote_is_text_on_every_page_and_in_every_stream() {
    let folder = tempfile::tempdir().unwrap();
    let _served = serve(folder.path());
    let token = json(&ask(folder.path(), &["tokens", "create", "--json"]));
    let mut device = Device::enrol(token["token"].as_str().unwrap(), "<script>alert(1)</script>");
    let hostile = b"<img src=x onerror=alert(1)>\x1b[31m\"'&\xe2\x80\xae";
    let path = file("/var/log/</script><script>alert(2)</script>.log");
    device.send(Lane::Bulk, stream(1), &path, vec![line(hostile)]);
    device.send(Lane::Live, stream(3), &SourceInfo::Host, vec![tick(3125)]);
    let (link, session) = entered(folder.path());
    let cookie = ("cookie", session.as_str());
    let devices = json(&ask(folder.path(), &["devices", "--json"]));
    let id = devices[0]["id"].as_str().unwrap();
    let list = link.get("/devices?q=%22%3E%3Cscript%3Ealert(3)%3C/script%3E%22", &[cookie]);
    let mut pages = vec![list.body, link.get("/devices", &[cookie]).body];
    for tab in ["overview", "logs", "ledger", "alerts"] {
        pages.push(link.get(&format!("/devices/{id}?tab={tab}"), &[cookie]).body);
    }
    assert!(pages[3].contains("&#60;img src=x onerror=alert(1)&#62;\u{241b}[31m"), "{}", pages[3]);
    assert!(pages[3].contains("\\u{202e}"), "what turns text around is shown");
    for page in &pages {
        assert!(!page.contains("alert(1)>") && !page.contains("<script>"), "{page}");
        assert!(page.len() < 60 << 10, "{} bytes", page.len());
    }
    let live = link.get(&format!("/live?device={id}&tab=logs&from=0&once=1"), &[cookie]);
    assert_eq!(live.header("content-type"), "text/event-stream; charset=utf-8");
    assert!(live.body.contains("event: lines\ndata: {\"all\":1,"), "{}", live.body);
    assert_eq!(live.body.matches("\n\n").count(), live.body.matches("event: ").count());
}

#[test]
fn an_address_that_is_not_loopback_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    configuration::write(folder.path());
    assert_eq!(ask(folder.path(), &["init"]).code, Some(0));
    let config = folder.path().join("headwater.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let open =
        text.replace("[console]\nlisten = \"127.0.0.1:0\"", "[console]\nlisten = \"0.0.0.0:0\"");
    assert_ne!(open, text);
    std::fs::write(&config, open).unwrap();
    let done = ask(folder.path(), &["serve"]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("console.listen") && done.stderr.contains("loopback only"));
}

#[test]
fn a_search_as_it_is_typed_gets_the_list_alone() {
    let folder = tempfile::tempdir().unwrap();
    let _served: Service = serve(folder.path());
    let (link, session) = entered(folder.path());
    let cookie = ("cookie", session.as_str());
    let page = link.get("/devices", &[cookie]);
    assert!(page.body.contains("headwater tokens create"), "an empty fleet says how it begins");
    let list = link.get("/devices?q=site:", &[cookie, ("hx-request", "true")]);
    assert!(list.body.starts_with("<div id=\"list\""), "{}", list.body);
    assert!(list.body.contains("expected a key and a value"), "{}", list.body);
    let asset = page.body.split("src=\"").find_map(|rest| rest.strip_prefix("/assets/hw-"));
    let asset = format!("/assets/hw-{}", asset.unwrap().split('"').next().unwrap());
    let script = link.get(&asset, &[]);
    assert_eq!(script.header("cache-control"), "public, max-age=31536000, immutable");
    assert!(script.header("content-type").starts_with("text/javascript"));
}

/// A session by a link of its own: the cookie.
fn entered(folder: &Path) -> (Link, String) {
    let link = Link::ask(folder);
    let cookie = link.get(&link.path, &[]).header("set-cookie").to_owned();
    let session = cookie.split(';').next().unwrap().to_owned();
    (link, session)
}

fn secured(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self' 'nonce-"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.body.contains(" style=") && !answer.body.contains("onclick"));
}

/// Where the console is, and a fresh way in.
struct Link {
    address: String,
    path: String,
}

impl Link {
    fn ask(folder: &Path) -> Self {
        let link = json(&ask(folder, &["console", "--json"]));
        let address = link["address"].as_str().unwrap().to_owned();
        let url = link["url"].as_str().unwrap();
        let path = url.strip_prefix(&format!("http://{address}")).unwrap().to_owned();
        Self { address, path }
    }

    fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, "", headers)
    }

    fn post(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("POST", path, form, headers)
    }

    fn send(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            request.push_str(&format!("host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("content-type: application/x-www-form-urlencoded\r\n");
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        socket.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).unwrap();
        Answer::parse(&String::from_utf8(bytes).unwrap())
    }
}

/// An HTTP answer.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pair = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_lowercase(), value.trim().to_owned())
        };
        let headers = lines.map(pair).collect();
        Self { status, headers, body: body.to_owned() }
    }

    /// A header; empty if there is none.
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The token that the page's forms carry.
    fn token(&self) -> &str {
        let rest = self.body.split("name=\"token\" value=\"").nth(1).unwrap();
        rest.split('"').next().unwrap()
    }
}
