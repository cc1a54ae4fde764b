//! The server of the page. It answers only requests for its own address, serves a fixed list of files, and takes the
//! page's reports.

use crate::Result;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// The headers of every answer. The policy lets the page load nothing but its own files, and only pages of this server
/// may show it in a frame.
const HEADERS: &str = "Content-Security-Policy: default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; \
                       frame-ancestors 'self'; base-uri 'none'; form-action 'none'\r\n\
                       X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n\
                       Connection: close\r\n";
/// The most bytes of a request line and its headers.
const LONGEST_HEAD: u64 = 16 << 10;
/// The longest report, in bytes, that the server accepts from the page.
const LONGEST_REPORT: usize = 1 << 20;

/// What the server knows.
pub struct Server {
    /// The addresses of this server, as browsers send them.
    hosts: Vec<String>,
    folder: PathBuf,
    files: Vec<Served>,
    reports: Sender<String>,
    /// Whether a page has reported that everything is drawn. The answer to `GET /ready` waits for this. A browser takes
    /// a screenshot only when the page and this answer are loaded.
    ready: AtomicBool,
}

/// A file that is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The path in a request.
    path: String,
    /// The name below the folder.
    name: String,
    kind: &'static str,
}

/// A request without its body.
struct Head {
    /// The method and the path, as far as the request has them.
    line: Vec<String>,
    fields: Vec<(String, String)>,
}

/// What the server does with a request.
#[derive(Debug, PartialEq)]
enum Decision {
    /// Refuses it, with this status and text.
    Refuse(&'static str, &'static str),
    /// Gives a file of the folder, of this type.
    Give(String, &'static str),
    /// Waits until the page is drawn.
    Wait,
    /// Takes a report of this many bytes.
    Take(usize),
}
use Decision::{Give, Refuse, Take, Wait};

impl Head {
    /// Reads a request up to the empty line after the headers. Returns `None` if it ends earlier.
    fn read(reader: &mut impl BufRead) -> Result<Option<Head>> {
        let mut lines = vec![];
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || !line.ends_with('\n') {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_string()),
            }
        }
        let mut lines = lines.into_iter();
        let line = lines.next().unwrap_or_default().split(' ').map(String::from).collect();
        let fields = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_lowercase(), value.trim().to_string()))
        });
        Ok(Some(Head { line, fields: fields.collect() }))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

impl Server {
    pub fn new(port: u16, folder: PathBuf, files: Vec<Served>, reports: Sender<String>) -> Server {
        let mut hosts = vec![format!("127.0.0.1:{port}"), format!("localhost:{port}")];
        if port == 80 {
            // browsers leave out this port
            hosts.extend(["127.0.0.1".to_string(), "localhost".to_string()]);
        }
        Server { hosts, folder, files, reports, ready: AtomicBool::new(false) }
    }

    /// Answers requests, each on a thread of its own.
    pub fn serve(self, listener: &TcpListener) {
        let server = Arc::new(self);
        for stream in listener.incoming() {
            let server = server.clone();
            let answer = |stream| {
                std::thread::Builder::new().spawn(move || {
                    // a visitor who leaves ends a connection early, which is no error of the server
                    let _ = server.connection(stream);
                })
            };
            // if there are too many open files or threads, a later request may find fewer
            if stream.and_then(answer).is_err() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn connection(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        let reader = BufReader::new(stream.try_clone()?);
        self.answer(reader, &mut stream)
    }

    /// Answers one request: a file of the folder, or a report of the page.
    fn answer(&self, reader: impl BufRead, to: &mut impl Write) -> Result<()> {
        let mut reader = reader.take(LONGEST_HEAD);
        let Some(head) = Head::read(&mut reader)? else {
            return reply(to, "400 Bad Request", "text/plain", b"the request is too long or incomplete");
        };
        match self.decide(&head) {
            Refuse(status, why) => reply(to, status, "text/plain", why.as_bytes()),
            Give(name, kind) => match std::fs::read(self.folder.join(name)) {
                Ok(bytes) => reply(to, "200 OK", kind, &bytes),
                Err(_) => reply(to, "404 Not Found", "text/plain", b"the page was not built"),
            },
            Wait => {
                let begun = Instant::now();
                while !self.ready.load(Relaxed) && begun.elapsed() < Duration::from_secs(60) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                reply(to, "404 Not Found", "text/plain", b"there is no picture here")
            }
            Take(length) => {
                let mut body = vec![0; length];
                reader.set_limit(length as u64);
                reader.read_exact(&mut body)?;
                // reports are printed, and other control characters could change the terminal
                let mut report = String::from_utf8_lossy(&body).into_owned();
                report.retain(|c| c == '\n' || !c.is_control());
                self.ready.fetch_or(report.starts_with("ready"), Relaxed);
                self.reports.send(report)?;
                reply(to, "204 No Content", "text/plain", b"")
            }
        }
    }

    /// Decides about a request by its line and its headers alone.
    fn decide(&self, head: &Head) -> Decision {
        let is_own = |host: &str| self.hosts.iter().any(|own| own == host);
        // a page of another site, whose name resolves to this machine, sends the name of its own site
        if !head.field("host").is_some_and(is_own) {
            return Refuse("403 Forbidden", "this server answers only to its own address");
        }
        let [method, path] = [0, 1].map(|i| head.line.get(i).map_or("", String::as_str));
        match (method, path) {
            ("GET", "/ready") => Wait,
            ("GET", path) => {
                let path = path.split('?').next().unwrap_or_default();
                match self.files.iter().find(|file| file.path == path) {
                    Some(file) => Give(file.name.clone(), file.kind),
                    None => Refuse("404 Not Found", "there is no such file"),
                }
            }
            ("POST", "/report") => {
                // browsers send the origin of every POST
                let origin = head.field("origin").and_then(|origin| origin.strip_prefix("http://"));
                let length = head.field("content-length").and_then(|n| n.parse().ok());
                match length.filter(|n| *n <= LONGEST_REPORT && origin.is_some_and(is_own)) {
                    Some(length) => Take(length),
                    None => Refuse("403 Forbidden", "not a report of this page"),
                }
            }
            _ => Refuse("405 Method Not Allowed", "GET, or POST /report"),
        }
    }
}

/// Returns the files of the page of `examples/web`. Only files of a list are served, so no path leads out of the folder.
pub fn files_of_the_page() -> Vec<Served> {
    const FILES: [(&str, &str, &str); 14] = [
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/page.js", "page.js", "text/javascript"),
        ("/load.js", "load.js", "text/javascript"),
        ("/style.css", "style.css", "text/css"),
        ("/icon.svg", "icon.svg", "image/svg+xml"),
        ("/digits.npy", "digits.npy", "application/octet-stream"),
        ("/plain/cupric_page.js", "plain/cupric_page.js", "text/javascript"),
        ("/plain/cupric_page_bg.wasm", "plain/cupric_page_bg.wasm", "application/wasm"),
        ("/plain/cupric_hashes.js", "plain/cupric_hashes.js", "text/javascript"),
        ("/plain/cupric_hashes_bg.wasm", "plain/cupric_hashes_bg.wasm", "application/wasm"),
        ("/relaxed/cupric_hashes.js", "relaxed/cupric_hashes.js", "text/javascript"),
        ("/relaxed/cupric_hashes_bg.wasm", "relaxed/cupric_hashes_bg.wasm", "application/wasm"),
        ("/relaxed/cupric_page.js", "relaxed/cupric_page.js", "text/javascript"),
        ("/relaxed/cupric_page_bg.wasm", "relaxed/cupric_page_bg.wasm", "application/wasm"),
    ];
    FILES.iter().map(|(path, name, kind)| Served { path: (*path).into(), name: (*name).into(), kind }).collect()
}

/// Returns the files that are in a folder and its subfolders now, except hidden files and links.
pub fn files_below(folder: &Path) -> Result<Vec<Served>> {
    const KINDS: [(&str, &str); 11] = [
        ("html", "text/html; charset=utf-8"),
        ("js", "text/javascript"),
        ("mjs", "text/javascript"),
        ("css", "text/css"),
        ("svg", "image/svg+xml"),
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("ico", "image/x-icon"),
        ("json", "application/json"),
        ("txt", "text/plain; charset=utf-8"),
        ("wasm", "application/wasm"),
    ];
    let (mut found, mut folders) = (vec![], vec![String::new()]);
    while let Some(below) = folders.pop() {
        let list = std::fs::read_dir(folder.join(&below)).map_err(|e| format!("{}: {e}", folder.display()))?;
        for entry in list {
            let entry = entry?;
            let (kind, name) = (entry.file_type()?, entry.file_name().to_string_lossy().into_owned());
            let name = format!("{below}{name}");
            match (entry.file_name().to_string_lossy().starts_with('.'), kind.is_dir(), kind.is_file()) {
                (false, true, _) => folders.push(format!("{name}/")),
                (false, _, true) => {
                    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
                    let kind = KINDS.iter().find(|(known, _)| *known == end);
                    let kind = kind.map_or("application/octet-stream", |(_, kind)| kind);
                    let path = if name == "index.html" { "/".to_string() } else { format!("/{name}") };
                    found.push(Served { path, name, kind });
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

fn reply(to: &mut impl Write, status: &str, kind: &str, body: &[u8]) -> Result<()> {
    let length = body.len();
    write!(to, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{HEADERS}\r\n")?;
    to.write_all(body)?;
    Ok(to.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    /// A server whose folder is the page's source, which has `index.html` and no modules.
    fn server(port: u16) -> (Server, Receiver<String>) {
        let (sender, reports) = channel();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../site").into();
        (Server::new(port, folder, files_of_the_page(), sender), reports)
    }

    fn answer(server: &Server, request: &str) -> String {
        let mut answer = vec![];
        server.answer(request.as_bytes(), &mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Returns the status of a request with these headers.
    fn status(line: &str, headers: &[&str]) -> String {
        let request = format!("{line} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"));
        answer(&server(8097).0, &request).split(' ').nth(1).unwrap().to_string()
    }

    const HOST: &str = "Host: 127.0.0.1:8097";

    #[test]
    fn only_its_own_address_is_answered() {
        for host in ["127.0.0.1:8097", "localhost:8097"] {
            assert_eq!(status("GET /", &[&format!("Host: {host}")]), "200", "{host}");
            assert_eq!(status("GET /", &["Accept: */*", &format!("hOsT:{host}  ")]), "200", "{host}");
        }
        for host in ["127.0.0.1", "127.0.0.1:8098", "localhost", "evil.example", "evil.example:8097", "[::1]:8097", ""]
        {
            assert_eq!(status("GET /", &[&format!("Host: {host}")]), "403", "{host}");
            // the first of two counts
            assert_eq!(status("GET /", &[&format!("Host: {host}"), HOST]), "403", "{host}");
        }
        assert_eq!(status("GET /", &["Accept: */*"]), "403");
        let (of_port_80, _reports) = server(80);
        assert!(answer(&of_port_80, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[test]
    fn only_files_of_the_list_are_served() {
        for path in ["/", "/?test=3", "/page.js", "/style.css", "/icon.svg"] {
            assert_eq!(status(&format!("GET {path}"), &[HOST]), "200", "{path}");
        }
        for path in [
            "/../serve/Cargo.toml",
            "/..%2fserve%2fCargo.toml",
            "/%2e%2e/serve/Cargo.toml",
            "/..\\serve\\Cargo.toml",
            "//etc/passwd",
            "/etc/passwd",
            "file:///etc/passwd",
            "http://127.0.0.1:8097/",
            "/page.js/",
            "/./page.js",
            "/PAGE.JS",
            "/page.js%00",
            "page.js",
            "*",
            "",
        ] {
            assert_eq!(status(&format!("GET {path}"), &[HOST]), "404", "{path}");
        }
        // a file of the list that was not built
        assert_eq!(status("GET /plain/cupric_page.js", &[HOST]), "404");
        for line in ["PUT /page.js", "HEAD /", "POST /", "DELETE /report", "OPTIONS *", "get /"] {
            assert_eq!(status(line, &[HOST]), "405", "{line}");
        }
        assert!(answer(&server(8097).0, &format!("GET\r\n{HOST}\r\n\r\n")).starts_with("HTTP/1.1 404 "));
    }

    #[test]
    fn files_of_a_folder_are_listed() {
        let folder = std::env::temp_dir().join(format!("cupric-serve-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("plain")).unwrap();
        for name in ["index.html", "plain/x.js", "plain/x_bg.wasm", "data.bin", ".hidden"] {
            std::fs::write(folder.join(name), "x").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link.txt")).unwrap();
        let mut found: Vec<(String, &str)> =
            files_below(&folder).unwrap().into_iter().map(|file| (file.path, file.kind)).collect();
        found.sort();
        let want = [
            ("/", "text/html; charset=utf-8"),
            ("/data.bin", "application/octet-stream"),
            ("/plain/x.js", "text/javascript"),
            ("/plain/x_bg.wasm", "application/wasm"),
        ];
        assert_eq!(found, want.map(|(path, kind)| (path.to_string(), kind)));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(files_below(&folder).is_err());
    }

    #[test]
    fn every_answer_has_the_policy() {
        let policy = "Content-Security-Policy: default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; frame-ancestors \
                      'self'; base-uri 'none'; form-action 'none'\r\n";
        for request in ["GET /", "GET /nothing", "PUT /", "POST /report"] {
            for host in [HOST, "Host: evil.example"] {
                let answer = answer(&server(8097).0, &format!("{request} HTTP/1.1\r\n{host}\r\n\r\n"));
                let (head, _) = answer.split_once("\r\n\r\n").unwrap();
                assert!(format!("{head}\r\n").contains(policy), "{head}");
                assert!(head.contains("X-Content-Type-Options: nosniff"), "{head}");
            }
        }
        assert!(answer(&server(8097).0, "GET").contains(policy));
    }

    #[test]
    fn long_or_incomplete_requests_are_refused() {
        let long = format!("GET / HTTP/1.1\r\n{HOST}\r\nX: {}\r\n\r\n", "x".repeat(LONGEST_HEAD as usize));
        for request in [long.as_str(), "", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8097"] {
            assert!(answer(&server(8097).0, request).starts_with("HTTP/1.1 400 "), "{:.60}", request);
        }
        // bytes that are not UTF-8 end the connection
        let mut nothing = vec![];
        assert!(server(8097).0.answer(&b"GET /\xff\r\n\r\n"[..], &mut nothing).is_err() && nothing.is_empty());
    }

    #[test]
    fn only_this_page_reports() {
        let report = |origin: &str, length: &str, body: &str| {
            let (server, reports) = server(8097);
            let request =
                format!("POST /report HTTP/1.1\r\n{HOST}\r\n{origin}\r\nContent-Length: {length}\r\n\r\n{body}");
            let mut answer = vec![];
            let ended = server.answer(request.as_bytes(), &mut answer).is_err();
            (
                ended,
                String::from_utf8(answer).unwrap().split(' ').nth(1).unwrap_or("none").to_string(),
                reports.try_recv().ok(),
            )
        };
        let own = "Origin: http://127.0.0.1:8097";
        assert_eq!(report(own, "4", "note and more"), (false, "204".to_string(), Some("note".to_string())));
        // control characters are not printed
        assert_eq!(report(own, "8", "a\u{1b}[2J\nb\r").2, Some("a[2J\nb".to_string()));
        let most = LONGEST_REPORT.to_string();
        assert_eq!(report(own, &most, &"x".repeat(LONGEST_REPORT)).1, "204");
        for origin in
            ["http://evil.example", "null", "https://127.0.0.1:8097", "http://127.0.0.1:8098", "127.0.0.1:8097"]
        {
            assert_eq!(report(&format!("Origin: {origin}"), "4", "note"), (false, "403".to_string(), None), "{origin}");
        }
        assert_eq!(report("X: y", "4", "note").1, "403");
        for length in [(LONGEST_REPORT + 1).to_string().as_str(), "-1", "", "x", "99999999999999999999999"] {
            assert_eq!(report(own, length, "note"), (false, "403".to_string(), None), "{length}");
        }
        // a body that is shorter than its header says
        assert_eq!(report(own, "5", "note"), (true, "none".to_string(), None));
    }

    #[test]
    fn the_picture_waits_for_the_page() {
        let (server, reports) = server(8097);
        let post = format!(
            "POST /report HTTP/1.1\r\n{HOST}\r\nOrigin: http://localhost:8097\r\nContent-Length: 6\r\n\r\nready\n"
        );
        std::thread::scope(|threads| {
            let picture = threads.spawn(|| answer(&server, &format!("GET /ready HTTP/1.1\r\n{HOST}\r\n\r\n")));
            std::thread::sleep(Duration::from_millis(60));
            assert!(!picture.is_finished());
            assert!(answer(&server, &post).starts_with("HTTP/1.1 204 "));
            assert!(picture.join().unwrap().contains("there is no picture here"));
        });
        assert_eq!(reports.recv().unwrap(), "ready\n");
    }
}
