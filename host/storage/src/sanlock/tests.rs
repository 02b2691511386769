//! What goes over the socket, and what is made of what comes back.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::JoinHandle;

use super::wire::{self, Command, HEADER};
use super::*;
use crate::exec::{Exec, Invocation};

fn place(name: &str, offset: u64) -> Place {
    Place {
        lockspace: "lvm_vg0".to_owned(),
        name: name.to_owned(),
        disk: "/dev/mapper/vg0-lvmlock".to_owned(),
        offset,
    }
}

/// An answer as the daemon makes it: the question's header with its own length and the result.
fn answer(question: &[u8], result: i32, content: &[u8]) -> Vec<u8> {
    let mut bytes = question[..HEADER].to_vec();
    let length = u32::try_from(HEADER + content.len()).unwrap();
    bytes[16..20].copy_from_slice(&length.to_ne_bytes());
    bytes[24..28].copy_from_slice(&result.to_ne_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// A sanlock that gives these answers, in their order, to everything but a registration; it ends
/// with the conversation, and returns what was said.
fn listen(socket: &Path, answers: Vec<(i32, &'static [u8])>) -> JoinHandle<Vec<Vec<u8>>> {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut answers = answers.into_iter();
        let mut said = Vec::new();
        let mut header = [0; HEADER];
        while stream.read_exact(&mut header).is_ok() {
            let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
            let mut message = header.to_vec();
            message.resize(word(16) as usize, 0);
            stream.read_exact(&mut message[HEADER..]).unwrap();
            if word(8) != Command::Register as u32 {
                let Some((result, content)) = answers.next() else {
                    break;
                };
                stream
                    .write_all(&answer(&message, result, content))
                    .unwrap();
            }
            said.push(message);
        }
        said
    })
}

const C: &str = r#"
#include <stdint.h>
#include <string.h>
#include <stdlib.h>
#include <sanlock.h>
#include <sanlock_resource.h>
static struct sanlk_resource *lease(const char *name, uint64_t offset, uint32_t flags) {
  struct sanlk_resource *r = calloc(1, sizeof(*r) + sizeof(struct sanlk_disk));
  strcpy(r->lockspace_name, "lvm_vg0");
  strcpy(r->name, name);
  r->flags = flags | SANLK_RES_PERSISTENT;
  r->num_disks = 1;
  strcpy(r->disks[0].path, "/dev/mapper/vg0-lvmlock");
  r->disks[0].offset = offset;
  return r;
}
int main(void) {
  struct sanlk_options options;
  memset(&options, 0, sizeof(options));
  strcpy(options.owner_name, "volwardd");
  struct sanlk_resource *both[2] = { lease("a", 70254592, 0), lease("b", 71303168, 0) };
  struct sanlk_resource *orphan = lease("c", 72351744, SANLK_RES_SHARED);
  struct sanlk_resource *shared = lease("a", 0, SANLK_RES_SHARED);
  struct sanlk_resource *stranded = lease("c", 72351744, 0);
  /* What convert sends of a lease has no place; num_disks stays. */
  int s = sanlock_register(), count = 0;
  char *state = 0;
  if (s < 0) return 1;
  if (sanlock_restrict(s, SANLK_RESTRICT_SIGKILL)) return 2;
  if (sanlock_acquire(s, -1, SANLK_ACQUIRE_OWNER_NOWAIT, 2, both, &options)) return 4;
  if (sanlock_acquire(s, -1, SANLK_ACQUIRE_ORPHAN_ONLY, 1, &orphan, &options)) return 5;
  if (sanlock_convert(s, -1, SANLK_CONVERT_OWNER_NOWAIT, shared)) return 6;
  if (sanlock_inquire(s, -1, 0, &count, &state)) return 7;
  if (sanlock_release(s, -1, 0, 2, both)) return 8;
  return sanlock_release(s, -1, SANLK_REL_ORPHAN, 1, &stranded) ? 9 : 0;
}
"#;

/// Needs a C compiler, libsanlock-dev and libsanlock-client1, which setup installs; without them it
/// fails and says so.
#[test]
fn messages_are_those_of_the_systems_library() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("say.c"), C).unwrap();
    let compiler = ["/usr/bin/cc", "/usr/bin/clang", "/usr/bin/gcc"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("a C compiler: install the package gcc");
    let exec = Exec::new(1);
    let (source, program) = (path("say.c"), path("say"));
    let compile = Invocation::new(compiler).args([&source, "-o", &program, "-lsanlock_client"]);
    exec.run("test", &compile)
        .expect("compiles against sanlock.h: install the package libsanlock-dev");
    let answers = vec![(0, &b""[..]); 7];
    let sanlock = listen(&folder.path().join("sanlock.sock"), answers);
    let say = Invocation::new(&program).env("SANLOCK_RUN_DIR", folder.path().to_str().unwrap());
    exec.run("test", &say).unwrap();
    let said = sanlock.join().unwrap();

    let both = [place("a", 70_254_592), place("b", 71_303_168)];
    let ours = [
        wire::register(),
        wire::restrict_kill(),
        wire::acquire(&both, LeaseMode::Exclusive, "volwardd").unwrap(),
        wire::adopt(&place("c", 72_351_744), LeaseMode::Shared, "volwardd").unwrap(),
        wire::convert(&both[0], LeaseMode::Shared).unwrap(),
        wire::inquire(),
        wire::release(&both).unwrap(),
        wire::give_up_orphan(&place("c", 72_351_744)).unwrap(),
    ];
    assert_eq!(said.len(), ours.len());
    for (n, (theirs, ours)) in said.iter().zip(&ours).enumerate() {
        assert_eq!(theirs, ours, "message {n}");
    }
}

/// What `call` comes to with a sanlock that answers so.
fn answered<T>(
    answers: Vec<(i32, &'static [u8])>,
    call: impl FnOnce(&mut Connection) -> Result<T, SanlockError>,
) -> Result<T, SanlockError> {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("sanlock.sock");
    let sanlock = listen(&socket, [vec![(0, &b""[..])], answers].concat());
    let mut connection = Connection::register(&socket).unwrap();
    let outcome = call(&mut connection);
    drop(connection);
    sanlock.join().unwrap();
    outcome
}

#[test]
fn numbers_become_words() {
    let one = [place("a", 1)];
    let acquire = |code| answered(vec![(code, b"")], |c| c.acquire(&one, LeaseMode::Exclusive));
    assert!(acquire(0).is_ok() && acquire(1).is_ok());
    assert!(matches!(acquire(-243), Err(SanlockError::HeldElsewhere)));
    assert!(matches!(acquire(-17), Err(SanlockError::HeldHere)));
    assert!(matches!(acquire(-117), Err(SanlockError::Orphan)));
    assert!(matches!(acquire(-11), Err(SanlockError::Busy)));
    assert!(matches!(acquire(-28), Err(SanlockError::NoLockspace)));
    assert!(matches!(acquire(-227), Err(SanlockError::NoLease(-227))));
    assert!(matches!(acquire(-202), Err(SanlockError::Code(-202))));
    let convert = |code| {
        answered(vec![(code, b"")], |c| {
            c.convert(&one[0], LeaseMode::Exclusive)
        })
    };
    assert!(convert(-114).is_ok(), "it has the mode already");
    assert!(matches!(convert(-11), Err(SanlockError::Busy)));
    let release = answered(vec![(-1, b"")], |c| c.release(&one));
    assert!(matches!(release, Err(SanlockError::NotHeld)));
}

#[test]
fn what_is_held_is_read_from_sanlocks_text() {
    const TEXT: &[u8] =
        b"lvm_vg0:aaaa-bb:/dev/mapper/vg0-lvmlock:70254592:3 lvm_vg0:c:/dev/x:1:SH\0";
    let held = answered(vec![(0, TEXT)], |c| c.inquire()).unwrap();
    let names: Vec<&str> = held.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["aaaa-bb", "c"]);
    assert!(held.iter().all(|one| one.lockspace == "lvm_vg0"));
    assert_eq!(answered(vec![(0, b"\0")], |c| c.inquire()).unwrap(), []);
    let odd = answered(vec![(0, b"nonsense\0")], |c| c.inquire());
    assert!(matches!(odd, Err(SanlockError::Broken(_))));
}

#[test]
fn a_conversation_that_ends_early_is_broken_and_says_so() {
    let ended = answered(vec![], |c| c.acquire(&[place("a", 1)], LeaseMode::Shared));
    let Err(SanlockError::Broken(error)) = ended else {
        panic!("{ended:?}")
    };
    assert!(
        error.to_string().contains("ended the conversation"),
        "{error}"
    );
    let nobody = Connection::register(Path::new("/nowhere/sanlock.sock")).unwrap_err();
    assert!(
        nobody.to_string().contains("systemctl status sanlock"),
        "{nobody}"
    );
}

#[test]
fn an_answer_to_something_else_is_no_answer() {
    let question = wire::inquire();
    let header = |bytes: Vec<u8>| -> [u8; HEADER] { bytes[..HEADER].try_into().unwrap() };
    let good = header(answer(&question, 0, b""));
    assert!(wire::answer(&good, Command::Inquire).is_ok());
    assert!(wire::answer(&good, Command::Acquire).is_err());
    for at in [0, 6, 16] {
        let mut bad = good;
        bad[at] ^= 0x40;
        if at == 16 {
            bad[16..20].copy_from_slice(&8_u32.to_ne_bytes());
        }
        assert!(wire::answer(&bad, Command::Inquire).is_err(), "byte {at}");
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_said() {
    let places = vec![place("a", 1); MOST_AT_ONCE + 1];
    assert!(wire::acquire(&places, LeaseMode::Shared, "x").is_err());
    assert!(wire::release(&[]).is_err());
    let long = place(&"x".repeat(49), 1);
    assert!(wire::release(&[long]).is_err());
    let mut zero = place("a", 1);
    zero.disk = "a\0b".to_owned();
    assert!(wire::adopt(&zero, LeaseMode::Shared, "x").is_err());
}
