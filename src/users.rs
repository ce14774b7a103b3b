//! Users and groups, from /etc/passwd and /etc/group.
//!
//! Not through getpwnam(3): that loads NSS modules, and a static binary cannot.

use std::fmt;
use std::fs;
use std::str::{FromStr, Split};

use nix::unistd::{Gid, Uid, getegid, geteuid};

use crate::signal::decimal;

/// The user to run the program as: `USER[:GROUP]`, each a name or a number. They are looked up in /etc/passwd and
/// /etc/group when the program is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserWish {
    user: String,
    group: Option<String>,
}

impl FromStr for UserWish {
    type Err = String;

    fn from_str(word: &str) -> Result<UserWish, String> {
        let (user, group) = word.split_once(':').map_or((word, None), |(user, group)| (user, Some(group)));
        if user.is_empty() || group.is_some_and(|group| group.is_empty() || group.contains(':')) {
            return Err(format!(
                "{word:?} is not USER[:GROUP]; write names or numbers: app, app:staff, 1000:1000"
            ));
        }
        Ok(UserWish { user: user.to_owned(), group: group.map(str::to_owned) })
    }
}

impl fmt::Display for UserWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        self.group.iter().try_for_each(|group| write!(f, ":{group}"))
    }
}

/// Whom the program is to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: Uid,
    pub group: Gid,
    /// The supplementary groups: those in /etc/group that list the user, or none where a group was given.
    pub groups: Vec<Gid>,
    /// Whether sexton is this user and group already, and is not root. Then nothing is changed.
    pub is_own: bool,
    /// The user's name, or its number where it has no name.
    pub name: String,
    /// The user's home, or `/` where none is known.
    pub home: String,
}

/// Why a user or group cannot be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserError {
    /// A name that was not found.
    #[non_exhaustive]
    Unknown {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The file it was looked for in.
        file: &'static str,
        /// Why that file could not be read, if it could not.
        unreadable: Option<String>,
    },
    /// No group was given, and this user is not in /etc/passwd.
    GroupIsMissing(u32),
    /// A number that no user or group can have.
    #[non_exhaustive]
    TooLarge {
        /// `user` or `group`.
        what: &'static str,
        /// The number.
        number: String,
    },
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserError::Unknown { what, name, file, unreadable: None } => {
                write!(f, "there is no {what} {name:?} in {file}; a number needs no entry there")
            }
            UserError::Unknown { what, name, file, unreadable: Some(why) } => {
                write!(f, "cannot look up the {what} {name:?}: {file}: {why}; a number needs no entry there")
            }
            UserError::GroupIsMissing(user) => {
                write!(f, "user {user} is not in /etc/passwd, so its group is not known; write {user}:GROUP")
            }
            UserError::TooLarge { what, number } => {
                write!(f, "no {what} has the number {number}; the largest is {LARGEST}")
            }
        }
    }
}

impl std::error::Error for UserError {}

/// The largest number of a user or group. setresuid(2) and setresgid(2) take the next one, -1, for "leave it as it is":
/// the program would stay root.
const LARGEST: u32 = u32::MAX - 1;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The two files, as far as they can be read, and sexton's own user and group.
#[derive(Clone, Debug)]
pub struct Users {
    passwd: Result<String, String>,
    group: Result<String, String>,
    own: (Uid, Gid),
}

impl Users {
    #[cold]
    #[inline(never)]
    pub fn read() -> Users {
        let read = |file| {
            fs::read(file)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .map_err(|error| error.to_string())
        };
        Users { passwd: read(PASSWD), group: read(GROUP), own: (geteuid(), getegid()) }
    }

    #[cold]
    #[inline(never)]
    pub fn look_up(&self, wish: &UserWish) -> Result<Identity, UserError> {
        let number = number(&wish.user);
        // A name may be made of digits. As with chown(1), a name comes before a number.
        let by_name = self.passwd_entries().find(|entry| entry.name == wish.user);
        let entry = by_name.or_else(|| self.passwd_entries().find(|entry| Some(entry.user) == number));
        let user = entry.as_ref().map(|entry| entry.user).or(number);
        let user = user.ok_or_else(|| unknown("user", &wish.user, PASSWD, &self.passwd))?;
        let (group, groups) = match (&wish.group, &entry) {
            (Some(group), _) => (self.group(group)?, Vec::new()),
            (None, Some(entry)) => (entry.group, self.groups_of(entry.name)),
            (None, None) => return Err(UserError::GroupIsMissing(user)),
        };
        let name = entry.as_ref().map_or(user.to_string(), |entry| entry.name.to_owned());
        let home = entry.map(|entry| entry.home).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
        let user = Uid::from_raw(user);
        let is_own = !user.is_root() && (user, group) == self.own;
        Ok(Identity { user, group, groups, is_own, name, home })
    }

    fn passwd_entries(&self) -> impl Iterator<Item = PasswdEntry<'_>> {
        entries(&self.passwd).filter_map(|(name, user, mut fields)| {
            let group = Gid::from_raw(number(fields.next()?)?);
            let (_comment, home) = (fields.next(), fields.next().unwrap_or(""));
            Some(PasswdEntry { name, user, group, home })
        })
    }

    /// Name, number and members of each group.
    fn group_entries(&self) -> impl Iterator<Item = (&str, Gid, &str)> {
        entries(&self.group)
            .map(|(name, group, mut fields)| (name, Gid::from_raw(group), fields.next().unwrap_or("")))
    }

    fn group(&self, wish: &str) -> Result<Gid, UserError> {
        let found = self.group_entries().find(|(name, ..)| *name == wish).map(|(_, group, _)| group);
        let found = found.or_else(|| number(wish).map(Gid::from_raw));
        found.ok_or_else(|| unknown("group", wish, GROUP, &self.group))
    }

    fn groups_of(&self, user: &str) -> Vec<Gid> {
        let lists_user = |members: &str| members.split(',').any(|member| member.trim() == user);
        self.group_entries().filter(|(.., members)| lists_user(members)).map(|(_, group, _)| group).collect()
    }
}

/// Name, number and the further fields of each line of a file, without comments, and without `+name` and `-name`, instructions to the old "compat" service of
/// nsswitch.conf(5). glibc's "files" service takes neither of these for a user (getpwuid(3)), and a commented-out user
/// must not exist.
fn entries(file: &Result<String, String>) -> impl Iterator<Item = (&str, u32, Split<'_, char>)> {
    let lines = file.iter().flat_map(|file| file.lines());
    lines.filter(|line| !line.starts_with(['#', '+', '-'])).filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some((name, number(fields.next()?)?, fields))
    })
}

fn unknown(what: &'static str, name: &str, file: &'static str, read: &Result<String, String>) -> UserError {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return UserError::TooLarge { what, number: name.to_owned() };
    }
    UserError::Unknown { what, name: name.to_owned(), file, unreadable: read.as_ref().err().cloned() }
}

fn number(word: &str) -> Option<u32> {
    decimal(word).filter(|number| *number <= LARGEST)
}

/// A line of passwd(5).
struct PasswdEntry<'a> {
    name: &'a str,
    user: u32,
    group: Gid,
    home: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(wish: &str) -> Result<Identity, UserError> {
        let files = Users {
            own: (Uid::from_raw(0), Gid::from_raw(0)),
            passwd: Ok(
                "root:x:0:0:root:/root:/bin/sh\n# no entry\n#old:x:3000:0::/root:\n+nis:x:3001:0::/root:\n\
                 app:x:1000:100::/home/app:\n1000:x:7:7::\n"
                    .to_owned(),
            ),
            group: Ok(
                "root:x:0:\n#adm:x:4:app\n+wheel:x:10:app\nstaff:x:50:app,other\nusers:x:100:\nlog:x:60:other,app\n"
                    .to_owned(),
            ),
        };
        files.look_up(&wish.parse::<UserWish>().unwrap())
    }

    fn numbers(wish: &str) -> (u32, u32, Vec<u32>) {
        let identity = look_up(wish).unwrap();
        let groups = identity.groups.iter().map(|group| group.as_raw()).collect();
        (identity.user.as_raw(), identity.group.as_raw(), groups)
    }

    #[test]
    fn p1_names_and_numbers() {
        assert_eq!(numbers("app"), (1000, 100, vec![50, 60]));
        assert_eq!(numbers("app:staff"), (1000, 50, vec![]));
        assert_eq!(numbers("app:0"), (1000, 0, vec![]));
        assert_eq!(numbers("0"), (0, 0, vec![]));
        assert_eq!(numbers("1000"), (7, 7, vec![]), "a name of digits is a name");
        assert_eq!(numbers("4000:4001"), (4000, 4001, vec![]));
    }

    #[test]
    fn p1_comments_are_no_entries() {
        assert_eq!(look_up("3000"), Err(UserError::GroupIsMissing(3000)));
        assert_eq!(look_up("3001"), Err(UserError::GroupIsMissing(3001)));
        assert!(matches!(look_up("#old"), Err(UserError::Unknown { .. })));
        assert_eq!(numbers("app").2, [50, 60], "not the groups that are commented out");
    }

    #[test]
    fn p1_home_and_name() {
        let identity = look_up("app").unwrap();
        assert_eq!((identity.name.as_str(), identity.home.as_str()), ("app", "/home/app"));
        let identity = look_up("4000:4000").unwrap();
        assert_eq!((identity.name.as_str(), identity.home.as_str()), ("4000", "/"));
    }

    #[test]
    fn p1_who_is_not_known() {
        assert!(matches!(look_up("nobody"), Err(UserError::Unknown { what: "user", .. })));
        assert!(matches!(look_up("app:nogroup"), Err(UserError::Unknown { what: "group", .. })));
        assert_eq!(look_up("4000"), Err(UserError::GroupIsMissing(4000)));
        assert!(matches!(look_up("+1:0"), Err(UserError::Unknown { what: "user", .. })));
        assert!(matches!(look_up("4294967295:0"), Err(UserError::TooLarge { what: "user", .. })));
        assert!(matches!(look_up("0:4294967295"), Err(UserError::TooLarge { what: "group", .. })));
        assert!(look_up("4294967294:4294967294").is_ok());
        for word in ["", ":", "app:", ":staff", "a:b:c"] {
            assert!(word.parse::<UserWish>().is_err(), "{word}");
        }
    }
}
