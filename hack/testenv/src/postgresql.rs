//! PostgreSQL: its first set-up, its process, and logging in to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::control_plane::random;
use crate::environment::Environment;
use crate::location::Location;
use crate::process::Service;

/// Directory of its data, in that of the environment. `teardown.sh` names it as well.
const DATA: &str = "postgresql";

/// Owner of the data, and of the process, where this process is root's, since PostgreSQL refuses to run as root:
/// `nobody`.
const OTHER_USER: u32 = 65534;

/// How long it may take to answer, recovery after a kill included.
const START: Duration = Duration::from_secs(30);

/// What it prints of a login with a name or a password that is wrong or has expired.
const REFUSED: &str = "password authentication failed";

/// The PostgreSQL of an environment. All logins are with a password, from wherever.
#[derive(Clone, Debug)]
pub struct Postgresql {
    dir: PathBuf,
    location: Location,
    /// Directory of the programs.
    programs: PathBuf,
    host: String,
    port: u16,
    password: String,
}

impl Postgresql {
    /// The user that may do everything.
    pub const SUPERUSER: &str = "postgres";

    /// Its database.
    pub const DATABASE: &str = "postgres";

    /// `program` is the server; the other programs are beside it.
    pub(crate) fn new(environment: &Environment, program: &Path, host: &str, port: u16) -> Result<Self> {
        // A link, as in a directory on PATH, may have none of the others beside it.
        let program = program.canonicalize().with_context(|| program.display().to_string())?;
        Ok(Self {
            dir: environment.dir.clone(),
            location: environment.location.clone(),
            programs: program.parent().context("a program without a directory")?.to_owned(),
            host: host.to_owned(),
            port,
            password: random(),
        })
    }

    /// `HOST:PORT`, as seen where the environment runs, pods included.
    pub fn addr(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Password of [`Postgresql::SUPERUSER`].
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The process, which needs [`Postgresql::set_up`] before its first start.
    pub(crate) fn service(&self) -> Service {
        let listen = if self.location == Location::Machine { &self.host } else { "0.0.0.0" };
        let data = self.data().display().to_string();
        let mut arguments = vec!["-D".to_owned(), data];
        for setting in [
            &format!("listen_addresses={listen}"),
            &format!("port={}", self.port),
            "unix_socket_directories=",
            "max_connections=200",
            "shared_buffers=16MB",
            // In its own directory, where it goes with the environment.
            "dynamic_shared_memory_type=mmap",
            "fsync=off",
            "full_page_writes=off",
            "jit=off",
            // For `logins`.
            "log_connections=on",
        ] {
            arguments.extend(["-c".to_owned(), setting.to_owned()]);
        }
        let mut command = self.as_its_user("postgres");
        command.extend(arguments);
        let program = PathBuf::from(command.remove(0));
        let service = Service::new("postgresql", program, command, &self.dir, &self.location);
        // It would wait for all clients to leave otherwise, and Vault keeps its connections.
        let service = service.with_stop_signal("INT");
        match self.libraries() {
            Some(libraries) => service.with_variable("LD_LIBRARY_PATH", &libraries),
            None => service,
        }
    }

    /// Makes its data directory.
    pub(crate) fn set_up(&self) -> Result<()> {
        let data = self.data();
        fs::create_dir(&data).with_context(|| format!("making {}", data.display()))?;
        if is_root() {
            std::os::unix::fs::chown(&data, Some(OTHER_USER), Some(OTHER_USER))?;
        }
        let password_file = self.dir.join("postgresql-password");
        fs::write(&password_file, &self.password)?;
        let command = self.as_its_user("initdb");
        let mut initdb = self.command(&command[0]);
        initdb.args(&command[1..]).arg("-D").arg(&data).arg("--pwfile").arg(&password_file).args([
            "--username",
            Self::SUPERUSER,
            "--auth=password",
            "--locale=C",
            "--encoding=UTF8",
            "--no-sync",
        ]);
        let output = initdb.output().context("starting initdb")?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        fs::write(data.join("pg_hba.conf"), "host all all all password\n")?;
        Ok(())
    }

    /// Starts the process, and waits until it answers. After a kill, the first attempts fail as long as processes of
    /// the killed one end.
    pub(crate) fn start(&self, service: &Service) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            service.start()?;
            match service.wait(START, || self.sql("SELECT 1").is_ok()) {
                Err(_) if !service.is_running()? && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                ended => return ended,
            }
        }
    }

    /// Runs a statement as [`Postgresql::SUPERUSER`]. Gives the rows, a line each, with `|` between columns.
    pub fn sql(&self, statement: &str) -> Result<String> {
        self.sql_as(Self::SUPERUSER, &self.password, statement)
    }

    /// Runs a statement as any user.
    pub fn sql_as(&self, user: &str, password: &str, statement: &str) -> Result<String> {
        let port = self.port.to_string();
        let mut psql = self.command(&self.program("psql"));
        psql.args(["--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"])
            .args(["--host", &self.host, "--port", &port, "--username", user, "--dbname", Self::DATABASE])
            .args(["--command", statement])
            .env("PGPASSWORD", password)
            .env("PGSSLMODE", "disable")
            .env("PGCONNECT_TIMEOUT", "10");
        let output = psql.output().context("starting psql")?;
        if !output.status.success() {
            bail!("psql as {user:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Whether a login works. That PostgreSQL does not answer is an error.
    pub fn accepts(&self, user: &str, password: &str) -> Result<bool> {
        match self.sql_as(user, password, "SELECT 1") {
            Ok(_) => Ok(true),
            Err(error) if error.to_string().contains(REFUSED) => Ok(false),
            // The user was dropped while it logged in.
            Err(error) if error.to_string().contains(&format!("role \"{user}\" does not exist")) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many logins of a user whose name begins like this have worked, and how many were refused, since it was set
    /// up. They are taken from its log.
    pub fn logins(&self, user_prefix: &str) -> Result<(usize, usize)> {
        let path = self.dir.join("logs").join("postgresql.log");
        let log = fs::read(&path).with_context(|| path.display().to_string())?;
        let log = String::from_utf8_lossy(&log);
        let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        let accepted = count(&format!("connection authorized: user={user_prefix}"));
        Ok((accepted, count(&format!("{REFUSED} for user \"{user_prefix}"))))
    }

    fn data(&self) -> PathBuf {
        self.dir.join(DATA)
    }

    fn program(&self, name: &str) -> String {
        self.programs.join(name).display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.location.command(program, &self.dir);
        if let Some(libraries) = self.libraries() {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// Where the libraries are, if the programs are not installed but unpacked below another root.
    fn libraries(&self) -> Option<String> {
        let root = self.programs.to_str()?.split("/usr/lib/postgresql/").next()?;
        let dirs = ["usr/lib", "lib"].map(|dir| Path::new(root).join(dir));
        let in_tree = (!root.is_empty() && dirs[0].join("postgresql").is_dir()).then_some(dirs)?;
        let entries = in_tree.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().contains("-linux-gnu"));
        let paths: Vec<String> = named.map(|entry| entry.path().display().to_string()).collect();
        (!paths.is_empty()).then(|| paths.join(":"))
    }

    /// A command line that runs a program as a user that PostgreSQL accepts. That user may read what root may: caches
    /// and environments are for their owner only.
    fn as_its_user(&self, program: &str) -> Vec<String> {
        let program = self.program(program);
        if !is_root() {
            return vec![program];
        }
        vec![
            "setpriv".into(),
            format!("--reuid={OTHER_USER}"),
            format!("--regid={OTHER_USER}"),
            "--clear-groups".into(),
            // Without it, access(2) does not count capabilities.
            "--securebits=+no_setuid_fixup".into(),
            "--inh-caps=+dac_override".into(),
            "--ambient-caps=+dac_override".into(),
            program,
        ]
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
