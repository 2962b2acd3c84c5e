// Calls as one writes them in Swift; all others are generated.

extension Client {
    /// Publishes to a channel; see `NewPublication` for what may stand there. When the connection breaks, it is sent once more,
    /// with the same id: so it arrives once.
    @discardableResult
    public func publish(_ message: String, to channel: String, event: String = "") async throws -> Sent {
        try await publish(publication: NewPublication(channel: channel, message: message, event: event))
    }

    /// Sends the same private message to several users, each with an id of its own; with `id` it may be sent again.
    @discardableResult
    public func sendToUsers(users: [UInt64], message: String, event: String = "") async throws -> SentMany {
        try await sendToUsers(users: users, message: message, event: event, id: nil)
    }

    /// Carries out any one statement. Each `?` in it stands for one of the values, in their order, which is never pasted into
    /// the text. Only statements that begin with SELECT or SHOW are tried again when the connection breaks.
    @discardableResult
    public func query(_ sql: String, _ values: Value...) async throws -> Answer {
        try await query(sql: sql, params: values)
    }
}

extension BlockingClient {
    /// Publishes to a channel; see `NewPublication` for what may stand there. When the connection breaks, it is sent once more,
    /// with the same id: so it arrives once.
    @discardableResult
    public func publish(_ message: String, to channel: String, event: String = "") throws -> Sent {
        try publish(publication: NewPublication(channel: channel, message: message, event: event))
    }

    /// Sends the same private message to several users, each with an id of its own; with `id` it may be sent again.
    @discardableResult
    public func sendToUsers(users: [UInt64], message: String, event: String = "") throws -> SentMany {
        try sendToUsers(users: users, message: message, event: event, id: nil)
    }

    /// Carries out any one statement. Each `?` in it stands for one of the values, in their order, which is never pasted into
    /// the text. Only statements that begin with SELECT or SHOW are tried again when the connection breaks.
    @discardableResult
    public func query(_ sql: String, _ values: Value...) throws -> Answer {
        try query(sql: sql, params: values)
    }
}
