//! Pages in the feed.

use control_plane::domain::page::Rendered;
use control_plane::store::blobs::{self, BlobHash};
use control_plane::store::feed::Write;
use control_plane::store::pages::{self, Kind as PageKind};

use super::*;

on_both_engines! {
    async fn pages_come_with_the_snapshot_and_their_edits_as_changes(app) {
        let store = &app.running.store;
        let page = |body: Vec<u8>| Rendered {
            status: 200,
            content_type: "text/html; charset=utf-8",
            csp: "default-src 'none'".to_owned(),
            body,
        };
        let write = || async { Write::begin(store).await.expect("begins") };
        let (_, mut frames) = proxy(&app).await;
        // More than one frame of the snapshot takes, small and large.
        let mut all = write().await;
        let mut ids = Vec::new();
        for n in 0..101 {
            let body = if n == 7 { vec![b'x'; 4097] } else { format!("page {n} \0d").into_bytes() };
            ids.push(pages::put(&mut all, (1, PageKind::Bio, &format!("bio {n}")), &page(body), 1).await.expect("put"));
        }
        all.commit(1).await.expect("committed");
        let told = frames.change().await.shared.expect("shared").page;
        assert_eq!(told.len(), 101);
        assert_eq!((told[0].id, &told[0].body[..], told[0].status), (ids[0].cast_unsigned(), &b"page 0 \0d"[..], 200));
        assert_eq!((told[7].body.len(), told[7].blob_size), (0, 4097));
        assert_eq!(told[7].blob[..], BlobHash::of(&vec![b'x'; 4097]).0[..]);
        assert_eq!(snapshot(&app, &[]).await.shared.page, told, "the same in both");
        // The same key is the same page; what does not change is not told.
        let mut again = write().await;
        assert_eq!(pages::put(&mut again, (1, PageKind::Bio, "bio 0"), &page(b"page 0 \0d".to_vec()), 2).await.expect("put"), ids[0]);
        assert_eq!(pages::put(&mut again, (1, PageKind::Bio, "bio 1"), &page(b"new".to_vec()), 2).await.expect("put"), ids[1]);
        pages::delete(&mut again, ids[2], 2).await.expect("deleted");
        again.commit(2).await.expect("committed");
        let told = frames.change().await.shared.expect("shared");
        assert_eq!((told.page.len(), told.page[0].id, &told.page[0].body[..]), (1, ids[1].cast_unsigned(), &b"new"[..]));
        assert_eq!(told.page_delete, [ids[2].cast_unsigned()]);
        assert_eq!(snapshot(&app, &[]).await.shared.page.len(), 100);
        // What a page no longer holds, and what a deleted one held, is let go of.
        let gone = ["page 1 \0d", "page 2 \0d"].map(|body| BlobHash::of(body.as_bytes()));
        for hash in gone {
            assert!(blobs::get(store, hash).await.expect("read").is_some(), "kept for proxies that are behind");
        }
        assert_eq!(blobs::sweep(store, i64::MAX).await.expect("swept"), 2);
        for hash in gone {
            assert_eq!(blobs::get(store, hash).await.expect("read"), None);
        }
    }

    async fn a_page_that_no_link_shows_is_swept_when_it_is_old(app) {
        let store = &app.running.store;
        let link = add(&app, "shows-it").await;
        let page = Rendered { status: 410, content_type: "text/plain", csp: String::new(), body: b"gone".to_vec() };
        let mut write = Write::begin(store).await.expect("begins");
        let mut ids = Vec::new();
        for key in ["frame", "splash", "direct 1", "direct 2"] {
            ids.push(pages::put(&mut write, (1, PageKind::Link, key), &page, 1000).await.expect("put"));
        }
        let bio = pages::put(&mut write, (1, PageKind::Bio, "1"), &page, 1000).await.expect("put");
        pages::show(&mut write, link, &[ids[0]]).await.expect("noted");
        write.commit(1000).await.expect("committed");
        let later = 1000 + pages::KEEP_UNUSED_MS;
        assert_eq!(pages::sweep(store, later).await.expect("swept"), 0, "not old enough");
        // Asked for meanwhile.
        let mut write = Write::begin(store).await.expect("begins");
        assert_eq!(pages::find(&mut write, (1, PageKind::Link, "splash"), later).await.expect("read"), Some(ids[1]));
        assert_eq!(pages::find(&mut write, (2, PageKind::Link, "splash"), later).await.expect("read"), None);
        write.commit(later).await.expect("committed");
        assert_eq!(pages::sweep(store, later + 1).await.expect("swept"), 2);
        let left = |page: &schemas::feed::Page| page.id.cast_signed();
        let shared = snapshot(&app, &[]).await.shared;
        assert_eq!(shared.page.iter().map(left).collect::<Vec<_>>(), [ids[0], ids[1], bio]);
        // Deleting the link undoes it.
        app.delete(&format!("/api/url/{link}/delete")).await.ok();
        assert_eq!(pages::sweep(store, i64::MAX).await.expect("swept"), 2);
        assert_eq!(snapshot(&app, &[]).await.shared.page.len(), 1);
    }
}
