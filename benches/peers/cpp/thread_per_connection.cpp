// The service as the challenge's entry in C++ is designed: a thread for each connection, blocking
// reads, one map behind a lock. Reads the two fields with the standard library, as it has no JSON.
//
//   g++ -O3 -std=c++20 -pthread -o thread_per_connection thread_per_connection.cpp
//   ./thread_per_connection PORT
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <unordered_set>

using namespace std::literals;

namespace {

constexpr std::size_t content_len_max = 64 * 1024;

struct Tally {
    std::mutex lock;
    std::unordered_set<std::string> users;
    unsigned long count = 0;
    double sum = 0;
};

Tally tally;

std::string answer(std::string_view status, std::string_view type, std::string_view content) {
    std::string text = "HTTP/1.1 ";
    text.append(status).append("\r\nServer: thread-per-connection\r\n");
    if (!type.empty()) text.append("Content-Type: ").append(type).append("\r\n");
    text.append("Content-Length: ").append(std::to_string(content.size())).append("\r\n\r\n");
    return text.append(content);
}

// What follows `"name":` in an object of two plain fields.
std::optional<std::string_view> field(std::string_view object, std::string_view name) {
    auto at = object.find("\"" + std::string(name) + "\"");
    if (at == object.npos) return {};
    at = object.find(':', at + name.size() + 2);
    if (at == object.npos) return {};
    at = object.find_first_not_of(" \t\r\n", at + 1);
    if (at == object.npos) return {};
    return object.substr(at);
}

std::string record(std::string_view content) {
    auto user = field(content, "userId");
    auto value = field(content, "value");
    double number = 0;
    if (!user || user->front() != '"' || !value ||
        std::from_chars(value->data(), value->data() + value->size(), number).ec != std::errc{})
        return answer("400 Bad Request", "", "");
    user->remove_prefix(1);
    std::lock_guard guard(tally.lock);
    tally.users.emplace(user->substr(0, user->find('"')));
    tally.count += 1;
    tally.sum += number;
    return answer("200 OK", "", "");
}

std::string stats() {
    char text[200];
    std::lock_guard guard(tally.lock);
    double average = tally.count ? tally.sum / static_cast<double>(tally.count) : 0;
    int len = std::snprintf(text, sizeof text,
                            R"({"totalRequests":%lu,"uniqueUsers":%zu,"sum":%.17g,"avg":%.17g})",
                            tally.count, tally.users.size(), tally.sum, average);
    return answer("200 OK", "application/json", {text, static_cast<std::size_t>(len)});
}

std::string call(std::string_view line, std::string_view content) {
    if (line.starts_with("GET /plaintext ")) return answer("200 OK", "text/plain", "Hello, World!");
    if (line.starts_with("GET /json "))
        return answer("200 OK", "application/json", R"({"message":"Hello, World!"})");
    if (line.starts_with("POST /event ")) return record(content);
    if (line.starts_with("GET /stats ")) return stats();
    return answer("404 Not Found", "", "");
}

// The value of Content-Length in a head, or 0.
std::size_t content_len(std::string_view head) {
    constexpr auto name = "content-length:"sv;
    for (auto at = head.find("\r\n"); at + 2 < head.size(); at = head.find("\r\n", at + 2)) {
        auto line = head.substr(at + 2, name.size());
        bool same = line.size() == name.size();
        for (std::size_t i = 0; same && i < name.size(); ++i)
            same = (line[i] | 0x20) == (name[i] | 0x20);
        if (same) return std::strtoul(head.data() + at + 2 + name.size(), nullptr, 10);
    }
    return 0;
}

void serve(int socket) {
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::string input, output;
    char piece[4096];
    for (ssize_t len; (len = read(socket, piece, sizeof piece)) > 0;) {
        input.append(piece, static_cast<std::size_t>(len));
        std::size_t taken = 0;
        for (;;) {
            std::string_view rest = std::string_view(input).substr(taken);
            auto end = rest.find("\r\n\r\n");
            if (end == rest.npos) break;
            auto head = rest.substr(0, end + 2);
            auto content = content_len(head);
            if (content > content_len_max) goto close;
            if (rest.size() < end + 4 + content) break;
            output += call(head.substr(0, head.find("\r\n")), rest.substr(end + 4, content));
            taken += end + 4 + content;
        }
        input.erase(0, taken);
        for (std::string_view left = output; !left.empty();) {
            ssize_t sent = write(socket, left.data(), left.size());
            if (sent <= 0) goto close;
            left.remove_prefix(static_cast<std::size_t>(sent));
        }
        output.clear();
    }
close:
    close(socket);
}

}  // namespace

int main(int count, char **words) {
    if (count != 2) return std::fputs("usage: thread_per_connection PORT\n", stderr), 2;
    std::signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<unsigned short>(std::atoi(words[1])));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof address) ||
        listen(listener, 4096))
        return std::perror("cannot listen"), 1;
    for (;;) {
        int accepted = accept(listener, nullptr, nullptr);
        if (accepted < 0) continue;
        try {
            std::thread(serve, accepted).detach();
        } catch (const std::system_error &) {
            close(accepted);  // there are as many threads as the system allows
        }
    }
}
