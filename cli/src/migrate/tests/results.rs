//! The files that are written: they say the same, they keep the reference's protections, and they
//! never take another file's place.

use std::fs;

use super::*;

fn yaml(text: &str) -> Json {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub(super) fn project(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap()
}

fn connection_manager(bootstrap: &Json) -> &Json {
    &bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

fn connector(bootstrap: &Json) -> &Json {
    let filters = connection_manager(bootstrap)["http_filters"].as_array().unwrap();
    filters.iter().find(|filter| filter["name"] == "oidc-token-connector").unwrap()
}

/// The filter's configuration within an Envoy configuration.
pub(super) fn embedded(envoy: &str) -> Json {
    let bootstrap = yaml(envoy);
    let value = &connector(&bootstrap)["typed_config"]["config"]["configuration"]["value"];
    serde_json::from_str(value.as_str().unwrap()).unwrap()
}

#[test]
fn three_result_files_agree() {
    let result = migrated(GUIDE).result.unwrap();
    assert_eq!(embedded(&result.envoy), serde_json::from_str::<Json>(&result.filter).unwrap());
    let clusters = yaml(&result.envoy)["static_resources"]["clusters"].take();
    assert_eq!(clusters.as_array().unwrap()[1..], *yaml(&result.clusters).as_array().unwrap());
}

/// Every protection of the reference is in what a migration writes.
#[test]
fn envoy_configuration_equals_reference_except_filter() {
    let reference = yaml(&project("envoy/envoy.yaml"));
    let made = yaml(&migrated(GUIDE).result.unwrap().envoy);
    assert_eq!(made["admin"], reference["admin"]);
    assert_eq!(made["layered_runtime"], reference["layered_runtime"]);
    assert!(reference["stats_config"].is_object());
    assert_eq!(made["stats_config"], reference["stats_config"]);
    let without = |value: &Json, keys: &[&str]| {
        let mut value = value.clone();
        value.as_object_mut().unwrap().retain(|key, _| !keys.contains(&key.as_str()));
        value
    };
    let listener = |bootstrap: &Json| {
        without(&bootstrap["static_resources"]["listeners"][0], &["filter_chains"])
    };
    assert_eq!(listener(&made), listener(&reference));
    let own = ["http_filters", "route_config"];
    let manager = |bootstrap: &Json| without(connection_manager(bootstrap), &own);
    assert_eq!(manager(&made), manager(&reference));
    assert!(manager(&made)["access_log"].is_array());
    let plugin = |bootstrap: &Json| {
        without(&connector(bootstrap)["typed_config"]["config"], &["configuration"])
    };
    assert_eq!(plugin(&made), plugin(&reference));
    assert_eq!(connector(&made)["disabled"], Json::Null);
    // The last two: the guard, which reads what the filter writes, and the router.
    let last = |bootstrap: &Json| {
        let filters = connection_manager(bootstrap)["http_filters"].as_array().unwrap();
        filters[filters.len() - 2..].to_vec()
    };
    assert_eq!(last(&made), last(&reference));
    assert_eq!(last(&made)[0]["name"], "oidc-token-connector-guard");
    assert_eq!(embedded(&migrated(GUIDE).result.unwrap().envoy)["access_log_state"], true);
}

/// One endpoint at idp.example, and the cluster that it gets, under the reference's name.
fn cluster_for(more: &str, options: &Options) -> Json {
    let text = format!("defaultURI: https://idp.example/userinfo\n{more}");
    let result = migrate(&text, options).result.unwrap();
    yaml(&result.clusters.replace("idp_idp_example", "idp_default"))[0].take()
}

#[test]
fn clusters_equal_the_reference() {
    let reference = yaml(&project("envoy/envoy.yaml"));
    let clusters = reference["static_resources"]["clusters"].as_array().unwrap();
    let direct = clusters.iter().find(|cluster| cluster["name"] == "idp_default").unwrap();
    assert_eq!(cluster_for("", &Options::default()), *direct);

    let behind = yaml(&project("envoy/forward-proxy.yaml"))[0].take();
    let proxy = "http_proxy_server: squid.example.com\nhttp_proxy_port: 3128";
    let given =
        Options { proxy_address: Some("192.0.2.10".parse().unwrap()), ..Options::default() };
    assert_eq!(cluster_for(proxy, &given), behind);
    // The placeholder for the missing address is unreachable, and is marked.
    assert_eq!(cluster_for(proxy, &Options::default()), behind);
    let text = format!("defaultURI: https://idp.example/userinfo\n{proxy}");
    let said = "# PUT IN the IP address of squid.example.com";
    assert!(migrated(&text).result.unwrap().clusters.contains(said));
    assert!(!migrate(&text, &given).result.unwrap().clusters.contains("PUT IN"));
}

/// A directory that is gone again when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("migrate-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Exit code, standard output and error output.
fn run_with(file: &Path, dir: Option<&Path>) -> (u8, String, String) {
    let args = Args { file: file.to_owned(), out: dir.map(Path::to_owned), options: given() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&args, &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn without_out_result_is_printed_and_report_is_on_stderr() {
    let dir = Directory::new("print");
    let file = dir.0.join("in.txt");
    fs::write(&file, GUIDE).unwrap();
    let (code, out, err) = run_with(&file, None);
    let migration = migrate(GUIDE, &given());
    assert_eq!((code, out), (0, migration.result.unwrap().envoy));
    assert_eq!(err, migration.report);

    fs::write(&file, "x: 1\ndefaultURI: https://a.example/u").unwrap();
    assert_eq!(run_with(&file, None).0, 1);
    fs::write(&file, "hello").unwrap();
    let (code, out, err) = run_with(&file, None);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("line 1: text without a colon"), "{err}");
}

#[test]
fn existing_files_are_not_overwritten() {
    let dir = Directory::new("write");
    let (file, to) = (dir.0.join("in.txt"), dir.0.join("a/b"));
    fs::write(&file, GUIDE).unwrap();
    let (code, out, err) = run_with(&file, Some(&to));
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert!(err.contains("see ") && err.contains("report.md"), "{err}");
    let migration = migrate(GUIDE, &given());
    let result = migration.result.unwrap();
    let expected = [
        ("report.md", migration.report),
        ("filter.json", result.filter),
        ("clusters.yaml", result.clusters),
        ("envoy.yaml", result.envoy),
    ];
    for (name, text) in &expected {
        assert_eq!(fs::read_to_string(to.join(name)).unwrap(), *text, "{name}");
    }
    fs::remove_file(to.join("report.md")).unwrap();
    let (code, _, err) = run_with(&file, Some(&to));
    assert_eq!(code, 2);
    assert!(err.contains("filter.json: already exists; remove it"), "{err}");
    assert!(!to.join("report.md").exists());
}

#[test]
fn unreadable_files_are_reported_with_reason() {
    let dir = Directory::new("read");
    let file = dir.0.join("in.txt");
    let (code, _, err) = run_with(&file, None);
    assert_eq!(code, 2);
    assert!(err.contains("in.txt: cannot be read"), "{err}");
    fs::write(&file, b"a: 1\nb: \x93c\x94").unwrap();
    let (code, _, err) = run_with(&file, None);
    assert_eq!(code, 2);
    assert!(
        err.contains("in.txt: got the byte 0x93 in line 2, as in Windows-1252, expected UTF-8"),
        "{err}"
    );
    fs::write(&file, " ".repeat(oidc_token_connector::config::MAX_CONFIG_BYTES + 1)).unwrap();
    let (code, _, err) = run_with(&file, None);
    assert_eq!(code, 2);
    assert!(err.contains("expected at most 262144"), "{err}");
}
