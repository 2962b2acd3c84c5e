//! Commands of the original's clients: name, line feed, arguments. Text in, meaning or the original's error texts out.

/// Most names in a `subscription`.
pub(super) const SUBSCRIPTIONS_MAX: usize = 32;
/// Longest list of a `subscription`, in bytes.
pub(super) const LIST_MAX: usize = 2176;
/// Longest pipe name, event name and marker, in bytes.
pub(super) const NAME_MAX: usize = 64;

/// What a frame asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// The new list of pipes, instead of the old one.
    Subscription {
        names: Vec<&'a str>,
        /// What was wrong with the rest of the list.
        problem: Option<ListProblem>,
    },
    /// Publishes; `pipe` may begin with `@` (hides the sender).
    Publish {
        pipe: &'a str,
        event: &'a str,
        message: &'a str,
    },
    Log {
        pipe: &'a str,
        marker: &'a str,
    },
    Count {
        pipe: &'a str,
        marker: &'a str,
    },
    Users {
        pipe: &'a str,
        marker: &'a str,
    },
    Data {
        marker: &'a str,
        user: u64,
    },
    Status {
        user: u64,
    },
    /// Commands that the original accepts and ignores.
    Nothing,
    /// Answered by these errors; the connection stays.
    Bad(Vec<Refusal>),
    /// The original closes the connection.
    Unknown,
}

/// Why a list of pipes was not taken whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListProblem {
    /// More than [`SUBSCRIPTIONS_MAX`] names; the first ones count.
    TooMany,
    /// More than [`LIST_MAX`] bytes; closes.
    ListTooLong,
    /// A name of more than [`NAME_MAX`] bytes; closes.
    NameTooLong,
}

impl ListProblem {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::TooMany | Self::ListTooLong => "Too many letters",
            Self::NameTooLong => "Channel name is too long",
        }
    }

    pub(super) fn closes(self) -> bool {
        match self {
            Self::TooMany => false,
            Self::ListTooLong | Self::NameTooLong => true,
        }
    }
}

/// An error message and the keys that the original puts beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `"number_messages":-1`.
    Channel(&'static str),
    /// `"user_id":-1`.
    Users(&'static str),
    /// `"user_data":"","user_id":-1`.
    Data(&'static str),
}

/// Reads a frame. `authorised` = the session has a user, whom `webauth_` pipes ask for.
///
/// The command is what the frame *begins* with, tried in the original's order; one separator byte is skipped after it.
pub(super) fn parse(frame: &str, authorised: bool) -> Command<'_> {
    type Read<'a> = fn(&'a str, bool) -> Command<'a>;
    let commands: [(&str, Read<'_>); 10] = [
        ("subscription", |list, _| subscription(list)),
        ("user_status", |text, _| user_status(text)),
        ("pipe_count", |text, _| pipe_count(text)),
        ("statistics", |_, _| Command::Nothing),
        ("web_pipe2", web_pipe),
        ("pipe_log", |text, _| pipe_log(text)),
        ("track_pipe_users", |text, _| track_pipe_users(text)),
        ("user_data", |text, _| user_data(text)),
        ("cgi_call", |_, _| Command::Nothing),
        ("CometQL_call", |_, _| Command::Nothing),
    ];
    commands
        .into_iter()
        .find_map(|(name, read)| Some((read, frame.strip_prefix(name)?)))
        .map_or(Command::Unknown, |(read, rest)| {
            read(skip_separator(rest), authorised)
        })
}

fn skip_separator(rest: &str) -> &str {
    let mut chars = rest.chars();
    chars.next();
    chars.as_str()
}

/// Names are split at any other character; a name of less than two ends the list.
fn subscription(list: &str) -> Command<'_> {
    if list.len() > LIST_MAX {
        let problem = Some(ListProblem::ListTooLong);
        return Command::Subscription {
            names: Vec::new(),
            problem,
        };
    }
    let mut names = Vec::new();
    let mut problem = None;
    for name in list.split(|c: char| !is_name_char(c)) {
        if name.len() < 2 {
            break;
        }
        if name.len() > NAME_MAX {
            problem = Some(ListProblem::NameTooLong);
            break;
        }
        if names.len() == SUBSCRIPTIONS_MAX {
            problem = Some(ListProblem::TooMany);
            break;
        }
        names.push(name);
    }
    Command::Subscription { names, problem }
}

fn web_pipe(text: &str, authorised: bool) -> Command<'_> {
    if text.starts_with("webauth_") {
        if !authorised {
            return bad(
                "[webauth_pipe_msg2] Invalid user auth. In to channel with name like webauth_* can not send messages anonim users",
            );
        }
    } else if !text.starts_with("web_") && !text.starts_with("@web_") {
        return bad("[pipe_msg2] Invalid channel name. The channel should begin with web_");
    }
    let (pipe, rest) = line(text);
    let (event, rest) = line(rest);
    if let Err(text) = check_pipe(pipe.strip_prefix('@').unwrap_or(pipe)) {
        return bad(text);
    }
    if let Err(text) = check_event(event) {
        return bad(text);
    }
    match line(rest) {
        (one, message) if one.chars().count() == 1 && rest.len() > one.len() => Command::Publish {
            pipe,
            event,
            message,
        },
        _ => bad("Invalid value auth_type"),
    }
}

fn pipe_log(text: &str) -> Command<'_> {
    let (pipe, rest) = line(text);
    let (marker, _) = line(rest);
    if let Err(text) = check_pipe(pipe) {
        return bad_twice(text, "Invalid channel name.");
    }
    if let Err(text) = check_pipe(marker) {
        return bad_twice(text, "Invalid marker value.");
    }
    Command::Log { pipe, marker }
}

fn pipe_count(text: &str) -> Command<'_> {
    let (pipe, rest) = line(text);
    let (marker, _) = line(rest);
    if let Err(text) = check_pipe(pipe).and_then(|()| check_pipe(marker)) {
        return bad_twice(text, "Invalid pipe name.");
    }
    if !pipe.starts_with("web_") && !pipe.starts_with("track_") {
        return bad("[pipe_count] Invalid channel name. The channel should start with web_");
    }
    Command::Count { pipe, marker }
}

fn track_pipe_users(text: &str) -> Command<'_> {
    let mut words = text.split_ascii_whitespace();
    let pipe = words.next().unwrap_or_default();
    let marker = words.next().unwrap_or_default();
    if !pipe.starts_with("track_") {
        let text = "[track_pipe_users] Invalid channel name. The channel should start with track_";
        return Command::Bad(vec![Refusal::Users(text)]);
    }
    if let Err(text) = check_pipe(pipe) {
        return Command::Bad(vec![Refusal::Users(text)]);
    }
    let marker = &marker[..marker.floor_char_boundary(NAME_MAX)];
    Command::Users { pipe, marker }
}

fn user_data(text: &str) -> Command<'_> {
    let (marker, rest) = line(text);
    if let Err(text) = check_pipe(marker) {
        return Command::Bad(vec![
            Refusal::Channel(text),
            Refusal::Data("Invalid marker name."),
        ]);
    }
    match leading_number(rest) {
        Some(user) => Command::Data { marker, user },
        None => Command::Bad(vec![Refusal::Data("Invalid user id")]),
    }
}

fn user_status(text: &str) -> Command<'_> {
    let user = leading_number(text).unwrap_or(0);
    Command::Status { user }
}

fn bad<'a>(text: &'static str) -> Command<'a> {
    Command::Bad(vec![Refusal::Channel(text)])
}

/// The original's check of a name tells what is wrong with it, then its caller tells which name that was.
fn bad_twice<'a>(text: &'static str, which: &'static str) -> Command<'a> {
    Command::Bad(vec![Refusal::Channel(text), Refusal::Channel(which)])
}

fn check_pipe(name: &str) -> Result<(), &'static str> {
    if !name.chars().all(is_name_char) {
        return Err("The channel name can only contain characters A-Za-z0-9_-");
    }
    if name.len() > NAME_MAX {
        return Err("Invalid pipe name length");
    }
    Ok(())
}

fn check_event(name: &str) -> Result<(), &'static str> {
    if !name.chars().all(is_name_char) {
        return Err("The event name can only contain characters A-Za-z0-9_-");
    }
    if name.len() > NAME_MAX {
        return Err("Invalid event name length");
    }
    Ok(())
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// The text up to a line feed, and what follows it.
fn line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests;
