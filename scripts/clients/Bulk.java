// Fetches content from the example `bulk` with Java's HttpClient, sized and in chunks, and sends it
// back both ways; the server compares. Usage: java Bulk.java URL [MIB]

import java.io.OutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.util.HexFormat;

public class Bulk {
    static final HttpClient CLIENT =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    static void expect(boolean holds, String otherwise) {
        if (!holds) {
            System.err.println(otherwise);
            System.exit(1);
        }
    }

    /** Fetches into a file, and tells the SHA-256 of what came. */
    static String fetch(String url, boolean isSized, long len, Path into) throws Exception {
        var answer = CLIENT.send(
                HttpRequest.newBuilder(URI.create(url)).build(), BodyHandlers.ofInputStream());
        expect(answer.statusCode() == 200, url + ": " + answer.statusCode());
        var length = answer.headers().firstValueAsLong("Content-Length");
        expect(length.isPresent() == isSized, url + ": length " + length);
        var digest = MessageDigest.getInstance("SHA-256");
        try (OutputStream file = new DigestOutputStream(Files.newOutputStream(into), digest)) {
            expect(answer.body().transferTo(file) == len, url + ": another length");
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    static String send(String url, boolean isSized, Path from) throws Exception {
        var file = BodyPublishers.ofFile(from);
        // What tells no length goes in chunks.
        var body = isSized ? file : BodyPublishers.fromPublisher(file);
        var request = HttpRequest.newBuilder(URI.create(url)).POST(body).build();
        return CLIENT.send(request, BodyHandlers.ofString()).body().strip();
    }

    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        long mib = arguments.length > 1 ? Long.parseLong(arguments[1]) : 8;
        long len = mib << 20;
        Path file = Files.createTempFile("bulk", null);
        file.toFile().deleteOnExit();
        String sized = fetch(url + len, true, len, file);
        String chunked = fetch(url + len + "/chunked", false, len, file);
        expect(sized.equals(chunked), "sized " + sized + ", chunked " + chunked);
        for (boolean isSized : new boolean[] {true, false}) {
            String said = send(url, isSized, file);
            expect(said.equals(len + " bytes, equal"), "sized " + isSized + ": " + said);
        }
        System.out.println(
                mib + " MiB down and up, sized and chunked: equal, SHA-256 " + sized.substring(0, 16));
    }
}
