// posix_spawn, two pipes and a deadline; see child.h.
#include "tests/support/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <regex>
#include <stdexcept>

extern char** environ;

namespace testing_support {

namespace {

constexpr std::size_t max_output = 8 << 20;

struct pipe_end {
    int fd = -1;
    pipe_end() = default;
    pipe_end(const pipe_end&) = delete;
    pipe_end& operator=(const pipe_end&) = delete;
    ~pipe_end() { reset(); }
    void reset() {
        if (fd >= 0) close(fd);
        fd = -1;
    }
};

void make_pipe(pipe_end& read_end, pipe_end& write_end) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) throw std::runtime_error(std::string("pipe2: ") + std::strerror(errno));
    read_end.fd = fds[0];
    write_end.fd = fds[1];
}

std::vector<std::string> environment(const child_options& o) {
    std::vector<std::string> env;
    for (char** e = environ; *e; e++) {
        bool replaced = false;
        for (auto& [k, v] : o.env) replaced |= std::strncmp(*e, (k + "=").c_str(), k.size() + 1) == 0;
        if (!replaced) env.emplace_back(*e);
    }
    for (auto& [k, v] : o.env)
        if (!v.empty()) env.push_back(k + "=" + v);
    return env;
}

std::vector<char*> pointers(const std::vector<std::string>& v) {
    std::vector<char*> p;
    for (auto& s : v) p.push_back(const_cast<char*>(s.c_str()));
    p.push_back(nullptr);
    return p;
}

pid_t start(const std::vector<std::string>& argv, const child_options& o, int out, int err) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, err, 2);
    posix_spawnattr_t attr;
    posix_spawnattr_init(&attr);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    auto env = environment(o);
    pid_t pid = -1;
    int rc = posix_spawn(&pid, argv.at(0).c_str(), &files, &attr, pointers(argv).data(), pointers(env).data());
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    if (rc != 0) throw std::runtime_error(argv[0] + ": " + std::strerror(rc));
    return pid;
}

// Reads what is there; false at the end of the stream.
bool drain(pipe_end& from, std::string& to) {
    char buf[16 << 10];
    ssize_t n = read(from.fd, buf, sizeof buf);
    if (n < 0) return errno == EINTR;
    if (n > 0 && to.size() < max_output) to.append(buf, static_cast<std::size_t>(n));
    if (n == 0) from.reset();
    return n > 0;
}

// Until both streams end; false at the deadline.
bool read_all(pipe_end& out, pipe_end& err, child_result& r, std::chrono::steady_clock::time_point deadline) {
    while (out.fd >= 0 || err.fd >= 0) {
        auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
        if (left <= 0) return false;
        pollfd p[2] = {{out.fd, POLLIN, 0}, {err.fd, POLLIN, 0}};  // a negative fd is skipped
        if (poll(p, 2, static_cast<int>(left)) < 0 && errno != EINTR) return false;
        if (p[0].revents) drain(out, r.out);
        if (p[1].revents) drain(err, r.err);
    }
    return true;
}

}  // namespace

child_result run_child(const std::vector<std::string>& argv, const child_options& o) {
    child_result r;
    pipe_end out_r, out_w, err_r, err_w;
    make_pipe(out_r, out_w);
    make_pipe(err_r, err_w);
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(o.limit_s);
    pid_t pid = start(argv, o, out_w.fd, err_w.fd);
    out_w.reset();
    err_w.reset();
    if (!read_all(out_r, err_r, r, deadline)) {
        r.timed_out = true;
        kill(-pid, SIGKILL);
    }
    int status = 0;
    while (waitpid(pid, &status, r.timed_out ? 0 : WNOHANG) == 0) {  // it may live on without its streams
        if (std::chrono::steady_clock::now() >= deadline) {
            r.timed_out = true;
            kill(-pid, SIGKILL);
        }
        usleep(500);
    }
    if (WIFEXITED(status)) r.status = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) r.signal = WTERMSIG(status), r.core = WCOREDUMP(status);
    return r;
}

std::string child_result::summary() const {
    return "status " + std::to_string(status) + ", signal " + std::to_string(signal) +
           (timed_out ? ", timed out" : "") + "\n--- stdout\n" + out + "--- stderr\n" + err + "---\n";
}

std::string child_result::said() const { return std::regex_replace(err, std::regex("\nchaos=\\d+\n\n"), "\n\n"); }

std::string self_path() {
    char buf[4096];
    ssize_t n = readlink("/proc/self/exe", buf, sizeof buf);
    if (n <= 0) throw std::runtime_error("/proc/self/exe cannot be read");
    return {buf, static_cast<std::size_t>(n)};
}

std::string built_program(const std::string& source) {
    std::string self = self_path();
    std::size_t at = self.rfind("/tests/");
    if (at == std::string::npos) throw std::runtime_error(self + ": not in a build folder");
    return self.substr(0, at + 1) + source;
}

}  // namespace testing_support
