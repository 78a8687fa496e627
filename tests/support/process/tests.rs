use std::time::Duration;

use crate::scratch::Scratch;
use crate::{eventually, patience};

use super::{Process, Program};

fn shell(script: &str) -> Program {
    Program::new("sh", "/bin/sh").args(["-c", script])
}

fn spawned(script: &str) -> (Scratch, Process) {
    let scratch = Scratch::new("unit").unwrap();
    let process = shell(script).spawn(scratch.path()).unwrap();
    (scratch, process)
}

fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

async fn goes(pid: u32) {
    // Whoever adopts it may take a moment to reap it.
    eventually("it is gone", async || {
        anyhow::ensure!(matches!(state(pid), None | Some('Z')));
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn output_goes_to_separate_files_and_the_end_is_seen() {
    let (_scratch, process) = spawned("echo out; echo err >&2; exit 3");
    assert_eq!(process.wait(patience()).await.unwrap().code(), Some(3));
    assert_eq!(process.stdout(), "out\n");
    assert_eq!(process.stderr(), "err\n");
    assert!(!process.is_running());
    let error = process.terminate().unwrap_err();
    assert!(format!("{error:#}").contains("exit status: 3"), "{error:#}");
}

#[tokio::test]
async fn a_missed_deadline_shows_the_tail_of_the_log() {
    let (_scratch, process) = spawned("seq 100 >&2; echo ready; sleep 600");
    eventually("it is ready", async || {
        anyhow::ensure!(process.stdout() == "ready\n");
        Ok(())
    })
    .await
    .unwrap();
    let error = process
        .wait(Duration::from_millis(20))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("81\n") && error.ends_with("100"), "{error}");
    assert!(!error.contains("80\n"), "{error}");
}

#[tokio::test]
async fn a_child_and_its_own_children_die_when_dropped() {
    let (_scratch, process) = spawned("sleep 600 & echo $!; wait");
    let grandchild: u32 = eventually("it tells the pid", async || {
        Ok(process.stdout().trim().parse()?)
    })
    .await
    .unwrap();
    let child = process.id();
    drop(process);
    assert_eq!(state(child), None);
    goes(grandchild).await;
}

#[tokio::test]
async fn a_stopped_child_stands_still_until_continued() {
    let (_scratch, process) = spawned("trap 'exit 7' TERM; echo ready; while :; do :; done");
    eventually("it is ready", async || {
        anyhow::ensure!(process.stdout() == "ready\n");
        Ok(())
    })
    .await
    .unwrap();
    process.stop().unwrap();
    process.terminate().unwrap();
    eventually("it is stopped", async || {
        anyhow::ensure!(state(process.id()) == Some('T'));
        Ok(())
    })
    .await
    .unwrap();
    assert!(process.is_running());
    process.cont().unwrap();
    assert_eq!(process.wait(patience()).await.unwrap().code(), Some(7));
}

// The parent-death signal belongs to the thread that started the child; see `lasting`.
#[tokio::test]
async fn a_child_survives_the_thread_that_asked_for_it() {
    let asking = std::thread::spawn(|| {
        let running = spawned("trap 'exit 7' TERM; echo ready; while :; do :; done");
        // Only a child that has got as far has asked the kernel for the signal.
        while running.1.stdout() != "ready\n" {
            assert!(running.1.is_running(), "{}", running.1.tail());
            std::thread::yield_now();
        }
        running
    });
    let (_scratch, process) = asking.join().unwrap();
    process.terminate().unwrap();
    assert_eq!(process.wait(patience()).await.unwrap().code(), Some(7));
}

#[tokio::test]
async fn what_is_restarted_begins_again_until_it_is_dropped() {
    let scratch = Scratch::new("process").unwrap();
    let program = shell("echo $$; [ -e again ] && exec sleep 600; touch again; exit 1");
    let program = program.directory(scratch.path()).restarted();
    let process = program.spawn(scratch.path()).unwrap();
    let last: u32 = eventually("it has begun again", async || {
        let begun = process.stdout();
        let begun: Vec<_> = begun.lines().collect();
        anyhow::ensure!(begun.len() == 2, "{begun:?}");
        Ok(begun[1].parse()?)
    })
    .await
    .unwrap();
    assert!(process.is_running());
    drop(process);
    goes(last).await;
}

#[tokio::test]
async fn a_run_gives_output_and_takes_input() {
    let program = Program::new("cat", "/bin/cat").input("hello");
    let output = program.run(patience()).await.unwrap().success().unwrap();
    assert_eq!(output.stdout, "hello");
}

#[tokio::test]
async fn a_failing_run_says_what_failed_and_why() {
    let output = shell("echo no such thing >&2; exit 1")
        .run(patience())
        .await
        .unwrap();
    let error = output.success().unwrap_err().to_string();
    assert!(
        error.contains("no such thing") && error.contains("sh -c"),
        "{error}"
    );
}

#[tokio::test]
async fn a_run_ends_at_its_limit() {
    let error = shell("echo begun >&2; sleep 600")
        .run(Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("begun"), "{error}");
}

#[tokio::test]
async fn the_environment_is_empty_but_for_what_is_given() {
    let output = Program::new("env", "/usr/bin/env")
        .env("A", "1")
        .run(patience())
        .await
        .unwrap();
    let names: Vec<_> = output
        .stdout
        .lines()
        .filter_map(|l| l.split('=').next())
        .collect();
    assert_eq!(names, ["A", "PATH"], "{}", output.stdout);
}
