use super::*;

fn table(rows: &[[Option<&str>; 3]]) -> Table {
    Table {
        title: Some("Merchants".to_owned()),
        columns: vec![
            Column::new("appid", Kind::Text),
            Column::new("asks", Kind::Number),
            Column::new("nickname", Kind::Text),
        ],
        rows: rows.iter().map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect()).collect(),
    }
}

fn printed(table: &Table, format: Format, screen: Screen) -> String {
    let mut out = Vec::new();
    table.write(format, screen, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn people_see_aligned_columns_and_the_count() {
    let table =
        table(&[[Some("wx0000000000000001"), Some("3"), Some("小店")], [Some("wx0000000000000002"), Some("12"), None]]);
    let terminal = [
        "Merchants",
        "┌────────────────────┬──────┬──────────┐",
        "│ appid              ┆ asks ┆ nickname │",
        "╞════════════════════╪══════╪══════════╡",
        "│ wx0000000000000001 ┆    3 ┆ 小店     │",
        "│ wx0000000000000002 ┆   12 ┆          │",
        "└────────────────────┴──────┴──────────┘",
        "(2 rows)",
    ];
    assert_eq!(printed(&table, Format::Table, Screen::Terminal(80)).lines().collect::<Vec<_>>(), terminal);
    let plain = [
        "Merchants",
        " appid               asks  nickname",
        " wx0000000000000001     3  小店",
        " wx0000000000000002    12",
        "(2 rows)",
    ];
    assert_eq!(printed(&table, Format::Table, Screen::Plain).lines().collect::<Vec<_>>(), plain);
}

#[test]
fn no_line_is_wider_than_the_terminal_and_no_row_takes_two_lines() {
    let long = "a name with words ".repeat(20);
    let table = table(&[[Some("wx0000000000000001"), Some("3"), Some(&long)], [None, None, Some("短")]]);
    for width in [40, 41, 60, 100] {
        let text = printed(&table, Format::Table, Screen::Terminal(width));
        let widest = text.lines().map(|line| line.chars().count()).filter(|chars| *chars > usize::from(width));
        // The title and the closing line are sentences, not columns.
        assert_eq!(widest.count(), usize::from(width < 52), "{text}");
        assert_eq!(text.lines().count(), 8, "{text}");
        assert!(text.contains('…'), "{text}");
    }
}

#[test]
fn a_terminal_too_narrow_for_columns_shows_rows_below_each_other() {
    let table = table(&[[Some("wx0000000000000001"), Some("3"), Some("a name")]]);
    let text = printed(&table, Format::Table, Screen::Terminal(20));
    assert!(text.contains("appid     wx0000000000000001\nasks      3\nnickname  a name\n"), "{text}");
}

#[test]
fn a_hostile_cell_breaks_no_table() {
    let hostile = "\u{1b}[2J\r\nx\u{202e}y\0";
    let table = table(&[[Some(hostile), None, Some("=1+1")]]);
    let text = printed(&table, Format::Table, Screen::Plain);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.contains(r"\u{1b}[2J\r\nx\u{202e}y\u{0}"), "{text}");
}

#[test]
fn csv_quotes_and_disarms_text_but_leaves_numbers() {
    let table = table(&[[Some("=cmd()"), Some("-3"), Some("a,\"b\"\nc")], [Some("@x"), None, Some("+1")]]);
    let text = printed(&table, Format::Csv, Screen::Plain);
    assert_eq!(text, "appid,asks,nickname\n'=cmd(),-3,\"a,\"\"b\"\"\nc\"\n'@x,,'+1\n");
}

#[test]
fn json_keeps_the_order_of_columns_and_the_kind_of_values() {
    let table = table(&[[Some("=x\n"), Some("-3"), None]]);
    let text = printed(&table, Format::Json, Screen::Plain);
    assert_eq!(text, "[\n  {\n    \"appid\": \"=x\\n\",\n    \"asks\": -3,\n    \"nickname\": null\n  }\n]\n");
}

#[test]
fn no_rows_are_said_in_words_for_people_and_as_an_empty_list_for_programs() {
    assert_eq!(printed(&table(&[]), Format::Table, Screen::Plain), "Merchants\n(no rows)\n");
    assert_eq!(printed(&table(&[]), Format::Json, Screen::Plain), "[]\n");
    assert_eq!(printed(&table(&[]), Format::Csv, Screen::Plain), "appid,asks,nickname\n");
}

#[test]
fn several_tables_stand_below_each_other_in_csv_each_after_its_name() {
    let tables = [("merchants", table(&[[Some("wx1"), Some("3"), None]])), ("asks", table(&[]))];
    let mut out = Vec::new();
    write_all(&tables, Format::Csv, Screen::Plain, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, "# merchants\nappid,asks,nickname\nwx1,3,\n\n# asks\nappid,asks,nickname\n");
}
