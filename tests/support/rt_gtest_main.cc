// The main goroutine of every test that runs on the runtime itself: all GoogleTest
// cases of the binary, one after the other, on that goroutine.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <rt0/go.h>

void main_main() {
    std::vector<std::string> words;
    for (char* a : rt0::args()) words.emplace_back(a);
    std::vector<char*> argv;
    for (std::string& w : words) argv.push_back(w.data());
    int argc = static_cast<int>(argv.size());
    argv.push_back(nullptr);
    testing::InitGoogleTest(&argc, argv.data());
    rt0::exit(RUN_ALL_TESTS());
}
