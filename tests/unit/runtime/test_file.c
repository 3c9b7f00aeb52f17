#include "tests/unit/runtime/cmocka_all.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/file.h"

struct fixture {
    char dir[64], path[96];
};

static int setup(void **state)
{
    static struct fixture f;
    snprintf(f.dir, sizeof(f.dir), "/tmp/file_test.XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    snprintf(f.path, sizeof(f.path), "%s/x", f.dir);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    unlink(f->path);
    return rmdir(f->dir); /* fails when a temporary was left */
}

static void assert_content(const struct fixture *f, const char *expected)
{
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(file_read(f->path, 1000000, &text, &len), RT_OK);
    assert_int_equal(len, strlen(expected));
    assert_string_equal(text, expected);
    free(text);
}

static void what_is_written_is_read_back_with_its_mode(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    umask(0);
    assert_int_equal(file_write_atomic(f->path, "one", 3, 0600), RT_OK);
    assert_content(f, "one");
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(file_write_atomic(f->path, "", 0, 0644), RT_OK);
    assert_content(f, "");
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
}

static void a_file_at_the_bound_is_read_and_one_over_is_refused(void **state)
{
    struct fixture *f = *state;
    static char data[10000];
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(file_write_atomic(f->path, data, sizeof(data), 0600), RT_OK);
    assert_int_equal(file_read(f->path, sizeof(data), &text, &len), RT_OK);
    assert_int_equal(len, sizeof(data));
    assert_memory_equal(text, data, sizeof(data));
    assert_int_equal(text[len], '\0');
    free(text);
    text = NULL;
    assert_int_equal(file_read(f->path, sizeof(data) - 1, &text, &len), RT_E_VALUE);
    assert_null(text);
}

static void a_missing_file_is_not_found_and_removing_it_is_fine(void **state)
{
    struct fixture *f = *state;
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(file_read(f->path, 10, &text, &len), RT_E_NOT_FOUND);
    assert_int_equal(file_remove(f->path), RT_OK);
    assert_int_equal(file_write_atomic(f->path, "x", 1, 0600), RT_OK);
    assert_int_equal(file_remove(f->path), RT_OK);
    assert_int_equal(file_read(f->path, 10, &text, &len), RT_E_NOT_FOUND);
    assert_int_equal(file_remove("/proc/self/cmdline"), RT_E_IO);
}

static void a_directory_is_no_file(void **state)
{
    struct fixture *f = *state;
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(file_read(f->dir, 10, &text, &len), RT_E_IO);
    assert_int_equal(errno, EISDIR);
}

static void a_secret_that_others_may_read_is_not_trusted(void **state)
{
    struct fixture *f = *state;
    char *text = NULL;
    static const mode_t open_modes[] = {0640, 0604, 0660, 0644, 0610};
    for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
        assert_int_equal(file_write_atomic(f->path, "s\n", 2, open_modes[i]), RT_OK);
        assert_int_equal(file_read_secret(f->path, 100, &text), RT_E_TRUST);
    }
    assert_null(text);
    assert_int_equal(file_write_atomic(f->path, "s e\n\n", 5, 0600), RT_OK);
    assert_int_equal(file_read_secret(f->path, 100, &text), RT_OK);
    assert_string_equal(text, "s e\n"); /* one newline only */
    free(text);
}

static void a_full_disk_keeps_the_old_content_and_leaves_no_temporary(void **state)
{
    struct fixture *f = *state;
    static char large[100000];
    struct rlimit before;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(file_write_atomic(f->path, "old", 3, 0600), RT_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {.rlim_cur = 50000, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    errno = 0;
    enum rt_err err = file_write_atomic(f->path, large, sizeof(large), 0600);
    int why = errno;
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(err, RT_E_IO);
    assert_int_equal(why, EFBIG);
    assert_content(f, "old");
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(file_write_atomic("/nonexistent/x", "x", 1, 0600), RT_E_IO);
    assert_int_equal(errno, ENOENT);
}

static void a_target_that_cannot_be_replaced_leaves_no_temporary(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_int_equal(file_write_atomic(f->path, "x", 1, 0600), RT_E_IO);
    assert_int_equal(rmdir(f->path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read_back_with_its_mode, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_file_at_the_bound_is_read_and_one_over_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_missing_file_is_not_found_and_removing_it_is_fine, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_directory_is_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_secret_that_others_may_read_is_not_trusted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_keeps_the_old_content_and_leaves_no_temporary,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_is_not_there_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_target_that_cannot_be_replaced_leaves_no_temporary, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
