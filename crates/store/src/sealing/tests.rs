use model::Kind;

use super::*;

const SECRET: &[u8] = b"\n\x0etop secret text";

fn is_secret(key: &Key) -> bool {
    key.kind == Kind::SECRET || key.kind == Kind::GLOBAL_SECRET
}

fn key(name: &str) -> Key {
    Key::in_mesh(Kind::SECRET, "m", name)
}

/// A sealing with a data key, and that key as it lies in a database.
fn sealing(by: SealingKey) -> (Sealing, SealedDataKey) {
    let sealing = Sealing::by(Arc::new(by), is_secret);
    let sealed = sealing.new_data_key().unwrap();
    assert_eq!(sealing.seal(&key("a"), Column::Spec, SECRET), Err(SealingError::NoDataKey), "it is in no database yet");
    sealing.take_in(std::slice::from_ref(&sealed)).unwrap();
    (sealing, sealed)
}

fn holds(row: &[u8], part: &[u8]) -> bool {
    row.windows(part.len()).any(|window| window == part)
}

#[test]
fn what_is_secret_is_sealed_and_comes_back_in_another_life_of_the_program() {
    let by = SealingKey::generate().unwrap();
    let text = by.text();
    let (sealing, data_key) = sealing(by);
    let row = sealing.seal(&key("a"), Column::Spec, SECRET).unwrap();
    assert!(!holds(&row, b"secret"));
    let next = Sealing::by(Arc::new(text.reveal().parse::<SealingKey>().unwrap()), is_secret);
    assert_eq!(
        next.open(&key("a"), Column::Spec, &row),
        Err(SealingError::UnknownDataKey { id: DataKeyId::FIRST }),
        "its data key is not known yet"
    );
    next.take_in(&[data_key]).unwrap();
    let opened = next.open(&key("a"), Column::Spec, &row).unwrap();
    assert_eq!((&*opened.content, opened.form), (SECRET, Form::Sealed(DataKeyId::FIRST)));
}

#[test]
fn a_row_opens_in_its_own_place_only() {
    let (sealing, _) = sealing(SealingKey::generate().unwrap());
    let row = sealing.seal(&key("a"), Column::Spec, SECRET).unwrap().into_owned();
    let others = [
        (key("b"), Column::Spec),
        (key("a"), Column::Status),
        (Key::in_mesh(Kind::SECRET, "n", "a"), Column::Spec),
        // the same letters, cut elsewhere
        (Key::in_mesh(Kind::SECRET, "", "ma"), Column::Spec),
        (Key::in_mesh(Kind::GLOBAL_SECRET, "m", "a"), Column::Spec),
    ];
    for (other, column) in others {
        assert_eq!(sealing.open(&other, column, &row), Err(SealingError::Damaged), "{other} {column:?}");
    }
    for at in HEAD + ID..row.len() {
        let mut changed = row.clone();
        changed[at] ^= 1;
        assert_eq!(sealing.open(&key("a"), Column::Spec, &changed), Err(SealingError::Damaged), "byte {at}");
    }
    for length in HEAD..row.len() {
        assert_eq!(sealing.open(&key("a"), Column::Spec, &row[..length]), Err(SealingError::Damaged), "{length}");
    }
}

#[test]
fn no_two_rows_are_alike() {
    let (sealing, _) = sealing(SealingKey::generate().unwrap());
    let row = || sealing.seal(&key("a"), Column::Spec, SECRET).unwrap();
    assert_ne!(row(), row());
}

#[test]
fn any_content_comes_back_sealed_or_not() {
    let (sealing, _) = sealing(SealingKey::generate().unwrap());
    let off = Sealing::off();
    let public = Key::global(Kind::ZONE, "z");
    for content in [&b""[..], b"\0", b"\0\0", b"\0\x01", b"\0\x01\0\0\0\x01abc", b"{}", b"\n\0"] {
        for (sealing, key) in [(&sealing, &key("a")), (&sealing, &public), (&off, &key("a"))] {
            let row = sealing.seal(key, Column::Spec, content).unwrap();
            assert_eq!(sealing.open(key, Column::Spec, &row).unwrap().content, content, "{key} {content:?}");
        }
    }
    let row = sealing.seal(&public, Column::Spec, b"{}").unwrap();
    assert_eq!(&*row, b"{}", "what is not secret lies there as it is");
    assert_eq!(off.open(&public, Column::Spec, b"\0\x07").unwrap_err(), SealingError::UnknownForm);
}

#[test]
fn a_row_of_before_is_read_and_known_to_be_plain() {
    let (sealing, _) = sealing(SealingKey::generate().unwrap());
    let opened = sealing.open(&key("a"), Column::Spec, SECRET).unwrap();
    assert_eq!((&*opened.content, opened.form), (SECRET, Form::Plain));
}

#[test]
fn another_key_is_refused_by_name() {
    let (first, second) = (SealingKey::generate().unwrap(), SealingKey::generate().unwrap());
    let names = [first.fingerprint().to_string(), second.fingerprint().to_string()];
    let (_, data_key) = sealing(first);
    let refused = Sealing::by(Arc::new(second), is_secret).take_in(std::slice::from_ref(&data_key)).unwrap_err();
    let said = refused.to_string();
    assert!(names.iter().all(|name| said.contains(name)), "{said}");
    let refused = Sealing::off().take_in(&[data_key]).unwrap_err().to_string();
    assert!(refused.contains(&names[0]) && refused.contains("store.sealing.enabled"), "{refused}");
}

#[test]
fn a_damaged_data_key_is_no_wrong_key() {
    let by = SealingKey::generate().unwrap();
    let text = by.text();
    let (_, data_key) = sealing(by);
    let next = Sealing::by(Arc::new(text.reveal().parse::<SealingKey>().unwrap()), is_secret);
    let mut damaged = data_key.clone();
    damaged.sealed[20] ^= 1;
    assert_eq!(next.take_in(&[damaged]), Err(SealerError::Damaged { id: DataKeyId::FIRST }));
    let renamed = SealedDataKey { id: DataKeyId::of(2), ..data_key };
    assert_eq!(next.take_in(&[renamed]), Err(SealerError::Damaged { id: DataKeyId::of(2) }), "of another number");
}

#[test]
fn rows_under_an_older_data_key_are_read_and_new_ones_get_the_newest() {
    let (sealing, _) = sealing(SealingKey::generate().unwrap());
    let old = sealing.seal(&key("a"), Column::Spec, SECRET).unwrap().into_owned();
    let second = sealing.new_data_key().unwrap();
    assert_eq!(second.id, DataKeyId::of(2));
    sealing.take_in(&[second]).unwrap();
    let new = sealing.seal(&key("a"), Column::Spec, SECRET).unwrap();
    let form = |row: &[u8]| sealing.open(&key("a"), Column::Spec, row).unwrap().form;
    assert_eq!((form(&old), form(&new)), (Form::Sealed(DataKeyId::of(1)), Form::Sealed(DataKeyId::of(2))));
}

#[test]
fn data_keys_are_sealed_by_another_key_without_touching_a_row() {
    let (sealing, _) = sealing(SealingKey::generate().unwrap());
    let row = sealing.seal(&key("a"), Column::Spec, SECRET).unwrap();
    let new = SealingKey::generate().unwrap();
    let text = new.text();
    let (handed, sealed) = sealing.handed_to(Arc::new(new)).unwrap();
    assert_eq!(handed.open(&key("a"), Column::Spec, &row).unwrap().content, SECRET);
    let next = Sealing::by(Arc::new(text.reveal().parse::<SealingKey>().unwrap()), is_secret);
    next.take_in(&sealed).unwrap();
    assert_eq!(next.open(&key("a"), Column::Spec, &row).unwrap().content, SECRET);
}

#[test]
fn the_fingerprint_is_the_front_of_the_sha_256_and_nothing_shows_a_key() {
    let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let key: SealingKey = format!("{text}\n").parse().unwrap();
    assert_eq!(key.fingerprint().to_string(), "630dcd2966c43366");
    assert_eq!(key.text().reveal(), format!("{text}\n"));
    assert_eq!(format!("{key:?}"), "SealingKey(630dcd2966c43366)");
    assert_eq!(format!("{:?}", DataKey::parse(text).unwrap()), "DataKey(*****)");
    for wrong in ["", "AAECAw==", "!", &format!("{text}{text}"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ=="] {
        assert_eq!(wrong.parse::<SealingKey>().unwrap_err(), NotAKey, "{wrong:?}");
    }
}

/// Seals well, and opens to something else.
struct Liar(SealingKey);

impl Sealer for Liar {
    fn name(&self) -> Option<String> {
        self.0.name()
    }

    fn seal(&self, id: DataKeyId, key: &DataKey) -> Result<SealedDataKey, SealerError> {
        self.0.seal(id, key)
    }

    fn unseal(&self, _sealed: &SealedDataKey) -> Result<DataKey, SealerError> {
        DataKey::generate().ok_or_else(no_random)
    }
}

#[test]
fn what_does_not_open_what_it_sealed_seals_nothing() {
    let sealing = Sealing::by(Arc::new(Liar(SealingKey::generate().unwrap())), is_secret);
    let refused = sealing.new_data_key().unwrap_err();
    assert!(matches!(&refused, SealerError::Unusable { detail } if detail.contains("something else")), "{refused}");
}

#[test]
fn the_newest_data_key_that_the_database_holds_seals() {
    let by = SealingKey::generate().unwrap();
    let (sealing, first) = sealing(by);
    let second = sealing.new_data_key().unwrap();
    sealing.take_in(&[first.clone(), second]).unwrap();
    let form = |sealing: &Sealing| {
        let row = sealing.seal(&key("a"), Column::Spec, SECRET).unwrap();
        sealing.open(&key("a"), Column::Spec, &row).unwrap().form
    };
    assert_eq!(form(&sealing), Form::Sealed(DataKeyId::of(2)));
    // A database that was put back has fewer: what is sealed under another is lost with this program.
    sealing.take_in(&[first]).unwrap();
    assert_eq!(form(&sealing), Form::Sealed(DataKeyId::FIRST));
}
