use super::*;

fn all() -> Tools {
    let store = Artifacts::open(&url::Url::from_directory_path(std::env::temp_dir()).unwrap()).unwrap();
    Tools::new(ToolParts {
        artifacts: store,
        fetch_policy: IpPolicy::default(),
        sandbox: Arc::new(Sandbox::off()),
        search: None,
        pictures: Arc::new(Pictures::new("/nowhere".into())),
    })
}

#[test]
fn there_is_a_tool_for_each_name_that_an_app_may_list() {
    let tools = all();
    let names: Vec<_> = tools.0.iter().map(|tool| tool.spec().name).collect();
    assert_eq!(names, shared::tools::TOOLS);
    for spec in tools.0.iter().map(|tool| tool.spec()) {
        assert_eq!(spec.parameters["type"], "object", "{}", spec.name);
        assert_eq!(spec.parameters["additionalProperties"], false, "{}", spec.name);
    }
}

#[test]
fn a_model_gets_plain_schemas() {
    let tools = all();
    let schemas: serde_json::Map<_, _> =
        tools.0.iter().map(|tool| (tool.spec().name.to_owned(), tool.spec().parameters.clone())).collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&schemas).unwrap());
}

#[test]
fn an_app_has_the_tools_that_it_lists_and_no_others() {
    let (tools, listed) = (all(), ["current_time".to_owned(), "next_years".to_owned()]);
    let toolbox = tools.of(&listed);
    assert!(toolbox.get("current_time").is_some() && toolbox.get("fetch_url").is_none());
    assert!(!toolbox.has_files());
    assert_eq!(toolbox.missing().map(|error| error.code), Some(ErrorCode::ToolError));
    for (name, code) in [("shell", Some(ErrorCode::SandboxError)), ("read_file", None)] {
        let listed = [name.to_owned()];
        let toolbox = tools.of(&listed);
        assert_eq!(toolbox.missing().map(|error| error.code), code, "without a sandbox");
        assert!(toolbox.has_files());
    }
}

#[test]
fn long_results_are_cut_on_a_character() {
    let mut output = Output { text: "aé".repeat(10), ..Output::default() };
    output.cut(5);
    assert_eq!(output.text, "aéa\n[cut: this is the beginning of 30 bytes]");
}
