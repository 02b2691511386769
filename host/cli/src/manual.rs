//! What volward(1) says beside the command line.

use volward_manual::Page;

pub(crate) const PAGE: Page = Page {
    section: "1",
    more: &[(
        "Files",
        "/run/volward/volwardd.sock  where the daemon listens\n\
         /etc/volward/volward.toml   the daemon's configuration, volward.toml(5)",
    )],
    see_also: &["volwardd(8)", "volward-policy(1)", "volward.toml(5)"],
};
