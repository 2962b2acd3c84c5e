import CometQL

/// The calls of a client, and of the subscription that a case keeps, by the names that the suite gives them.
typealias Calls = (_ name: String, _ with: [JSON]) async throws -> Any

func awaited(_ log: LogIn) async throws -> Calls {
    let client = try await Client.connect(
        hosts: log.hosts, user: log.user, password: log.password, database: log.database, options: log.options)
    let heard = Heard<Subscription>()
    return { name, with in
        switch name {
        case "ping": try await client.ping()
        case "close": client.close()
        case "publish": return try await client.publish(publication: publication(with[0]))
        case "publish_many": return try await client.publishMany(publications: list(with[0], publication))
        case "send_to_user": return try await client.sendToUser(message: message(with[0]))
        case "send_to_users":
            let users = list(with[0], whole)
            return try await client.sendToUsers(users: users, message: text(with[1]), event: text(with[2]), id: with[3].text)
        case "history": return try await client.history(channel: text(with[0]), page: page(with[1]))
        case "delete_history": return try await client.deleteHistory(channel: text(with[0]))
        case "channel_settings": return try await client.channelSettings(channel: text(with[0])) as Any
        case "set_channel_settings": try await client.setChannelSettings(channel: text(with[0]), settings: settings(with[1]))
        case "reset_channel_settings": try await client.resetChannelSettings(channel: text(with[0]))
        case "presence": return try await client.presence(channel: text(with[0]))
        case "subscribers": return try await client.subscribers(channels: list(with[0], text))
        case "online": return try await client.online(users: list(with[0], whole))
        case "last_seen": return try await client.lastSeen(users: list(with[0], whole))
        case "authorize": try await client.authorize(user: whole(with[0]), hash: text(with[1]))
        case "deauthorize": try await client.deauthorize(user: whole(with[0]))
        case "revoke": try await client.revoke(token: text(with[0]))
        case "user_data": return try await client.userData(user: whole(with[0])) as Any
        case "set_user_data": try await client.setUserData(user: whole(with[0]), data: text(with[1]))
        case "delete_user_data": try await client.deleteUserData(user: whole(with[0]))
        case "query": return try await client.query(sql: text(with[0]), params: list(with[1], value))
        case "subscribe":
            let channels = list(with[0]) { ChannelSince(channel: text($0)) }
            heard.subscription = try await client.subscribe(channels: channels, listening: listening(with[1]))
        case "next": return try await heard.next { try await $0.next() } as Any
        case "acknowledge": heard.subscription.acknowledge(offset: heard.offset)
        case "set_token": heard.subscription.setToken(token: text(with[0]))
        case "stop_listening": await heard.subscription.disconnect()
        case "mint_token": return try mintToken(key: tokenKey(with[0]), claims: claims(with[1]))
        default: fatalError("no such call: \(name)")
        }
        return ()
    }
}

func blocking(_ log: LogIn) throws -> Calls {
    let client = try BlockingClient.connect(
        hosts: log.hosts, user: log.user, password: log.password, database: log.database, options: log.options)
    let heard = Heard<BlockingSubscription>()
    return { name, with in
        switch name {
        case "ping": try client.ping()
        case "close": client.close()
        case "publish": return try client.publish(publication: publication(with[0]))
        case "publish_many": return try client.publishMany(publications: list(with[0], publication))
        case "send_to_user": return try client.sendToUser(message: message(with[0]))
        case "send_to_users":
            let users = list(with[0], whole)
            return try client.sendToUsers(users: users, message: text(with[1]), event: text(with[2]), id: with[3].text)
        case "history": return try client.history(channel: text(with[0]), page: page(with[1]))
        case "delete_history": return try client.deleteHistory(channel: text(with[0]))
        case "channel_settings": return try client.channelSettings(channel: text(with[0])) as Any
        case "set_channel_settings": try client.setChannelSettings(channel: text(with[0]), settings: settings(with[1]))
        case "reset_channel_settings": try client.resetChannelSettings(channel: text(with[0]))
        case "presence": return try client.presence(channel: text(with[0]))
        case "subscribers": return try client.subscribers(channels: list(with[0], text))
        case "online": return try client.online(users: list(with[0], whole))
        case "last_seen": return try client.lastSeen(users: list(with[0], whole))
        case "authorize": try client.authorize(user: whole(with[0]), hash: text(with[1]))
        case "deauthorize": try client.deauthorize(user: whole(with[0]))
        case "revoke": try client.revoke(token: text(with[0]))
        case "user_data": return try client.userData(user: whole(with[0])) as Any
        case "set_user_data": try client.setUserData(user: whole(with[0]), data: text(with[1]))
        case "delete_user_data": try client.deleteUserData(user: whole(with[0]))
        case "query": return try client.query(sql: text(with[0]), params: list(with[1], value))
        case "subscribe":
            let channels = list(with[0]) { ChannelSince(channel: text($0)) }
            heard.subscription = try client.subscribe(channels: channels, listening: listening(with[1]))
        case "next": return try await heard.next { try $0.next() } as Any
        case "acknowledge": heard.subscription.acknowledge(offset: heard.offset)
        case "set_token": heard.subscription.setToken(token: text(with[0]))
        case "stop_listening": heard.subscription.close()
        case "mint_token": return try mintToken(key: tokenKey(with[0]), claims: claims(with[1]))
        default: fatalError("no such call: \(name)")
        }
        return ()
    }
}
