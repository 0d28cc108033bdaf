// Loads plugin.so; knows nothing of rt0.
#include <cstdio>

#include <dlfcn.h>

int main() {
    if (dlopen("./plugin.so", RTLD_NOW)) return 0;
    std::fprintf(stderr, "%s\n", dlerror());
    return 1;
}
