use super::*;

fn read(text: impl AsRef<[u8]>) -> Result<PairsFile> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    PairsFile::read(file.path())
}

fn numbered(person: &str, number: u32) -> ImageName {
    ImageName::Numbered { person: person.into(), number }
}

#[test]
fn both_views_are_read() {
    let view1 = read("1\nAda\t1\t2\nAda\t1\tGrace\t3\n").unwrap();
    assert_eq!(view1.sets.len(), 1);
    let [same, different] = &view1.sets[0][..] else { panic!("two pairs") };
    assert!(same.same && !different.same);
    assert_eq!((&same.a, &different.b), (&numbered("Ada", 1), &numbered("Grace", 3)));
    let view2 = read("2\t1\nA\t1\t2\nA\t1\tB\t1\nC\t1\t2\nC\t1\tD\t1\n").unwrap();
    assert_eq!(view2.sets.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn lists_are_taken_as_people_have_them() {
    let sizes = |text: &str| read(text).unwrap().sets.iter().map(Vec::len).collect::<Vec<_>>();
    // Names with blanks, a mark at the start, line ends of Windows, unequal numbers, another order.
    let blanks = read("1\nAda Love\t1\t2\nAda Love\t1\tBo Li\t3\n").unwrap();
    assert_eq!(blanks.sets[0][1].b, numbered("Bo Li", 3));
    assert_eq!(sizes("\u{feff}1\r\nAda\t1\t2\r\nAda\t1\tBo\t2\r\n"), [2]);
    assert_eq!(sizes("5\nAda\t1\tBo\t2\nAda\t1\t2\nAda\t1\t3\n"), [3]);
    // Files, with and without names of columns and sets.
    let files = read("a,b,same\nx/1.jpg,x/2.jpg,1\nx/1.jpg,y/1.png,0\n").unwrap();
    assert_eq!(files.sets[0][0].a, ImageName::File("x/1.jpg".into()));
    assert_eq!(files.sets[0].iter().map(|pair| pair.same).collect::<Vec<_>>(), [true, false]);
    assert_eq!(sizes("x/1.jpg x/2.jpg 1\nx/1.jpg y/1.png 0\n"), [2]);
    assert_eq!(sizes("x 1.jpg\tx 2.jpg\tsame\nx 1.jpg\ty.png\tdifferent\n"), [2]);
    assert_eq!(sizes("a,b,same,fold\n1,2,1,A\n1,3,0,A\n4,5,1,B\n"), [2, 1]);
    assert_eq!(sizes("1,2,1\n1,3,0\n"), [2], "files without extensions");
}

#[test]
fn fields_in_quotes_may_hold_the_separator_and_sets_keep_their_names() {
    let file = |text: &str| {
        let read = read(text).unwrap();
        (read.sets[0][0].a.to_string(), read.names)
    };
    let one = || vec!["1".to_string()];
    assert_eq!(file("\"Love, Ada/1.png\",\"b \"\"c\"\".png\",0\n"), ("Love, Ada/1.png".into(), one()));
    assert_eq!(read("\"a\",\"b \"\"c\"\".png\",0\n").unwrap().sets[0][0].b.to_string(), "b \"c\".png");
    assert_eq!(file("Love, Ada/1.png\tb.png\t0\n"), ("Love, Ada/1.png".into(), one()));
    let named = file("a.png,b.png,1,alpha\na.png,c.png,0,beta\n").1;
    assert_eq!(named, ["alpha", "beta"]);
    assert_eq!(read("2\t1\nA\t1\t2\nA\t1\tB\t1\nC\t1\t2\nC\t1\tD\t1\n").unwrap().names, ["1", "2"]);
}

#[test]
fn other_counts_than_promised_and_repeated_pairs_are_told() {
    let remarks = |text: &str| read(text).unwrap().remarks;
    assert_eq!(remarks("1\nAda\t1\t2\nAda\t1\tBo\t2\n"), [""; 0]);
    let told = remarks("5\nAda\t1\tBo\t2\nAda\t1\t2\nAda\t2\t1\n");
    assert!(told[0].starts_with("1 of 3 pairs are there more than once"), "{told:?}");
    assert!(told[1].contains("promises 5 pairs of each kind; there are 2 of one person and 1"), "{told:?}");
    assert_eq!(remarks("1,2,1\n2,1,1\n1,3,0\n").len(), 1);
}

#[test]
fn what_is_no_list_of_pairs_is_refused_with_the_line() {
    for (text, part) in [
        ("", "line 1: there is no pair"),
        ("hello\n", "line 1: expected the number of pairs, or two images and 1 or 0, found \"hello\""),
        ("1\nAda\t1\n", "line 2: expected a pair, found \"Ada\t1\""),
        ("1\nAda\tx\t2\n", "line 2: expected a pair"),
        ("1\n", "the list ends after 0 pairs"),
        ("2\t1\nAda\t1\t2\nAda\t1\tBo\t1\nAda\t1\t3\n", "2 sets of 1 pairs of each kind are 4 pairs, and 3 are there"),
        ("9999\t9999\nAda\t1\t2\n", "line 1: 9999 sets of 9999 pairs"),
        ("1\nAda\t1\t1\n", "line 2: Ada 1 is paired with itself"),
        ("1\n../x\t1\t2\n", "line 2: ../x 1 leaves the folder"),
        ("/etc/a.jpg,b.jpg,1\n", "line 1: /etc/a.jpg leaves the folder"),
        ("a.jpg,b.jpg,1\na.jpg,c.jpg,perhaps\n", "line 2: expected two images and 1 or 0"),
        ("a.jpg b.jpg 2\n", "line 1: expected two images and 1 or 0"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text:?}: {error}");
    }
    assert!(read(b"\xFF\xFE1\0\n\0").unwrap_err().to_string().contains("UTF-16; save it as UTF-8"));
    assert!(read(b"1\n\xFFx\t1\t2\n").unwrap_err().to_string().contains("not a text file in UTF-8"));
}
