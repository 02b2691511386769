use super::*;

#[test]
fn a_record_of_a_later_format_is_named_and_not_read() {
    let later = RecordError::Later { found: 3 };
    assert_eq!(decode_entry(3, "no JSON").unwrap_err(), later);
    assert_eq!(decode_attachment(3, "no JSON").unwrap_err(), later);
    assert_eq!(
        decode_attachment(0, "{}").unwrap_err(),
        RecordError::Later { found: 0 }
    );
}

#[test]
fn a_damaged_record_is_an_error() {
    for text in [
        "",
        "{",
        "[]",
        "{}",
        "7",
        r#"{"steps":[7]}"#,
        r#"{"steps":[{"step":{"step":7}}]}"#,
    ] {
        for format in [1, FORMAT] {
            let entry = decode_entry(format, text);
            assert!(
                matches!(entry, Err(RecordError::Unreadable(_))),
                "{text}: {entry:?}"
            );
            let attachment = decode_attachment(format, text);
            assert!(
                matches!(attachment, Err(RecordError::Unreadable(_))),
                "{text}"
            );
        }
    }
}
