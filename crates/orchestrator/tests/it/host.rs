//! `GET /api/v1/admin/host`, through the SDK.

use meetbot::ErrorKind;
use meetbot_orchestrator::store::Scope;
use tempfile::TempDir;

use crate::server::{Server, new_job};

#[tokio::test]
async fn an_admin_reads_the_state_of_the_machine_and_the_server() {
    let data = TempDir::new().unwrap();
    let server = Server::start(&data).await;
    let refused = server.client().host().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    let admin = server.client_of(&server.key("ops", true, Scope::Admin).await);
    server.client().dispatch_bot(new_job()).await.unwrap();
    let mut done = server.bot().await;
    server.client().dispatch_bot(new_job()).await.unwrap();
    let _running = server.bot().await;
    done.record().await;
    done.complete("file:///m").await;
    let host = admin.host().await.unwrap();
    assert_eq!(host.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert!(!host.draining && host.uptime_seconds < 3600);
    assert!(host.cpu.cores > 0 && (0.0..=100.0).contains(&host.cpu.used_percent), "{host:?}");
    assert!(host.cpu.load1 >= 0.0 && host.cpu.load5 >= 0.0 && host.cpu.load15 >= 0.0, "{host:?}");
    let memory = host.memory;
    assert!(memory.server_bytes > 1_000_000 && memory.used_bytes > 0, "{host:?}");
    assert!(memory.total_bytes >= memory.used_bytes, "{host:?}");
    assert!(host.disk.total_bytes > host.disk.free_bytes, "{host:?}");
    assert!((1..=2).contains(&host.bots.running) && host.bots.max == 200, "{host:?}");
    assert_eq!(host.jobs.len(), 8, "{host:?}");
    assert_eq!((host.jobs["joining"], host.jobs["completed"], host.jobs["queued"]), (1, 1, 0));
    assert_eq!(host.webhook_backlog, 0);
}
