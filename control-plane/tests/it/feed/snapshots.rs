//! When a proxy takes a snapshot, and what is in it.

use super::*;

on_both_engines! {
    async fn a_position_of_another_history_takes_a_snapshot(app) {
        add(&app, "history").await;
        let now = snapshot(&app, &[]).await;
        for (seq, change) in [(now.seq, [9; 16]), (now.seq + 1, [0; 16]), (0, [0; 16]), (1 << 62, [1; 16])] {
            let mut frames = follow(&app, seq, &change).await;
            let hello = frames.hello().await;
            assert!(!hello.resumed && hello.seq == now.seq && hello.change == now.change, "{seq}");
            assert!(frames.next().await.is_none(), "nothing follows");
        }
    }

    async fn a_pruned_history_takes_a_snapshot(app) {
        let old = snapshot(&app, &[]).await;
        for n in 0..3 {
            add(&app, &format!("pruned-{n}")).await;
        }
        meddle(&app, "DELETE FROM feed_changes WHERE seq <= (SELECT seq - 1 FROM feed_state)").await;
        let mut frames = follow(&app, old.seq, &old.change).await;
        assert!(!frames.hello().await.resumed);
        assert!(frames.next().await.is_none());
        assert_eq!(proxy(&app).await.0.links, 3);
    }

    async fn a_database_restored_under_the_server_ends_the_streams(app) {
        add(&app, "before").await;
        let (at, frames) = proxy(&app).await;
        meddle(&app, "DELETE FROM feed_changes WHERE seq = (SELECT seq FROM feed_state)").await;
        meddle(&app, "UPDATE feed_state SET seq = seq - 1, change_id = (SELECT change_id FROM feed_changes f WHERE f.seq = feed_state.seq - 1)").await;
        frames.end().await;
        let mut again = follow(&app, at.seq, &at.change).await;
        assert!(!again.hello().await.resumed);
    }

    async fn a_snapshot_is_the_whole_of_one_instant(app) {
        let empty = snapshot(&app, &[]).await;
        assert_eq!((empty.links, empty.groups.len()), (0, 0));
        assert!(empty.sums.iter().all(|sum| *sum == 0));
        assert_eq!(empty.shared.domain.iter().filter(|d| d.is_default && d.live).count(), 1);
        assert!(!empty.shared.workspace.is_empty());
        let salts = empty.shared.salts.expect("salts");
        assert!(salts.salt.len() >= 2 && salts.salt.iter().all(|s| s.key.len() == 32));
        for chunk in (0..1200).collect::<Vec<_>>().chunks(400) {
            let urls: Vec<_> = chunk.iter().map(|n| json!({ "url": format!("https://example.com/{n}"), "custom": format!("s{n}") })).collect();
            let _ = app.post("/api/urls/bulk", json!({ "urls": urls })).await.ok();
        }
        let all = snapshot(&app, &[]).await;
        assert_eq!(all.links, 1200);
        let mut slugs: Vec<String> = all.groups.iter().flat_map(|(_, entries)| entries.iter().map(|e| slug(e))).collect();
        slugs.sort();
        slugs.dedup();
        assert_eq!(slugs.len(), 1200);
        for (group, entries) in &all.groups {
            let sum = entries.iter().fold(0_u64, |sum, e| sum.wrapping_add(feed::entry_sum(e)));
            assert_eq!(sum, all.sums[*group]);
            for entry in entries {
                let entry = Entry::parse(entry).expect("legal");
                assert_eq!(feed::group_of(feed::key_hash(entry.domain, entry.slug)), *group);
            }
        }
        // Who holds it all gets nothing again; who lacks one group gets that one.
        let none = snapshot(&app, &all.sums).await;
        assert_eq!((none.groups.len(), none.links, none.seq), (0, 1200, all.seq));
        let mut held = all.sums.clone();
        let (group, entries) = &all.groups[7];
        held[*group] ^= 1;
        let empty_group = held.iter().position(|sum| *sum == 0).expect("some group is empty");
        held[empty_group] = 5;
        let mut one = snapshot(&app, &held).await;
        one.groups.sort();
        let mut expected = vec![(*group, entries.clone()), (empty_group, Vec::new())];
        expected.sort();
        assert_eq!(one.groups, expected);
    }

    async fn a_snapshot_and_the_feed_after_it_add_up(app) {
        let writer = async {
            for n in 0..60 {
                add(&app, &format!("sum-{n}")).await;
            }
        };
        let reader = async {
            let (at, mut frames) = proxy(&app).await;
            let mut slugs: Vec<String> = at.groups.iter().flat_map(|(_, e)| e.iter().map(|e| slug(e))).collect();
            while slugs.len() < 60 {
                slugs.extend(frames.change().await.upsert.iter().map(|e| slug(e)));
            }
            slugs.sort();
            slugs.dedup();
            slugs.len()
        };
        assert_eq!(tokio::join!(writer, reader).1, 60);
    }
}
